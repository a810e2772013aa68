package federation

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	smithy "github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/rolegate/rolegate/broker"
)

func session(c *types.Credentials, u *types.AssumedRoleUser, m middleware.Metadata) (broker.RoleSession, error) {
	if c == nil || u == nil || c.Expiration == nil || aws.ToString(c.AccessKeyId) == "" || aws.ToString(c.SecretAccessKey) == "" || aws.ToString(c.SessionToken) == "" {
		return broker.RoleSession{}, errors.New("federation: STS answered without credentials")
	}
	id, _ := awsmiddleware.GetRequestIDMetadata(m)
	return broker.RoleSession{
		Credentials: broker.Credentials{
			AccessKeyID: aws.ToString(c.AccessKeyId), SecretAccessKey: broker.NewSecret(aws.ToString(c.SecretAccessKey)),
			SessionToken: broker.NewSecret(aws.ToString(c.SessionToken)), Expiration: *c.Expiration,
		},
		AssumedRoleARN: aws.ToString(u.Arn), AssumedRoleID: aws.ToString(u.AssumedRoleId), STSRequestID: id,
	}, nil
}

// verdict is one known answer of STS: how to recognise it, what it means, and
// what to do. In admin, {role}, {account}, {provider} and {action} are filled in.
type verdict struct {
	code     string     // on the wire; "" matches any
	contains string     // part of the message; "" matches any
	via      broker.Via // "" matches any
	result   broker.Code
	message  string
	admin    string // what the AWS administrator mends
	person   string // what the person does, where no administrator is needed
}

// verdicts, first match wins. Codes and messages: IAM User Guide
// "Troubleshooting SAML federation", STS API model, and reported cases. Where
// the code of a message is not documented, any code matches.
var verdicts = []verdict{
	{code: "ValidationError", contains: "MaxSessionDuration", result: broker.CodeDenied, message: "AWS does not allow sessions this long for the role.",
		admin: "raise the maximum session duration of {role}, or lower max_duration in rolegate."},
	{code: "ValidationError", contains: "ARN is invalid", result: broker.CodeDenied, message: "AWS does not know this role or its identity provider.",
		admin: "check the name and path of {role} (iam_role in rolegate) and of {provider}."},
	{contains: "Specified provider doesn't exist", result: broker.CodeDenied, message: "The AWS account does not trust rolegate yet.",
		admin: "create {provider} in account {account} from rolegate's metadata."},
	{contains: "No OpenIDConnect provider found", result: broker.CodeDenied, message: "The AWS account does not trust this issuer yet.",
		admin: "create the OIDC provider for the issuer in account {account}."},
	{code: "InvalidIdentityToken", contains: "signature invalid", result: broker.CodeDenied, message: "The AWS account holds old keys of rolegate.",
		admin: "update {provider} in account {account} with rolegate's current metadata."},
	{code: "InvalidIdentityToken", contains: "Issuer not present", result: broker.CodeDenied, message: "The AWS account trusts another issuer under this provider's name.",
		admin: "update {provider} in account {account} with rolegate's metadata."},
	{contains: "required audience", result: broker.CodeDenied, message: "AWS wants another audience in the assertion.",
		admin: "set the audience of the partition of account {account} in rolegate."},
	{contains: "Incorrect token audience", result: broker.CodeDenied, message: "The AWS account expects another audience in the token.",
		admin: "add the token's audience to the client ids of the OIDC provider in account {account}."},
	{contains: "verification key", result: broker.CodeDenied, message: "AWS could not fetch the issuer's keys.",
		admin: "make discovery document and JWKS of the OIDC provider in account {account} reachable for AWS."},
	{code: "InvalidIdentityToken", contains: "RoleSessionName", result: broker.CodeDenied, message: "AWS does not accept the session name.",
		admin: "check role_session.name in rolegate; {role} was asked for."},
	{code: "InvalidIdentityToken", contains: "Source Identity", result: broker.CodeDenied, message: "AWS does not accept the source identity.",
		admin: "check role_session.source_identity in rolegate; {role} was asked for."},
	{code: "InvalidIdentityToken", result: broker.CodeDenied, message: "AWS did not accept the assertion.",
		admin: "check the identity provider object in account {account}; {role} was asked for."},
	{code: "ExpiredTokenException", via: broker.ViaIDPToken, result: broker.CodeUnauthenticated, message: "This role uses your identity provider's own token, and AWS finds it has run out.",
		person: "Sign in again."},
	{code: "ExpiredTokenException", result: broker.CodeDenied, message: "AWS found the assertion too old.",
		admin: "check the clock of the machine rolegate runs on; {role} was asked for."},
	{code: "IDPRejectedClaim", via: broker.ViaIDPToken, result: broker.CodeDenied, message: "Your identity provider no longer stands behind its token.",
		admin: "look at the trust policy of {role}; signing in again may help too."},
	{code: "IDPRejectedClaim", result: broker.CodeDenied, message: "AWS refused a claim of the assertion.",
		admin: "look at the trust policy of {role} and at rolegate's events."},
	{code: "IDPCommunicationError", result: broker.CodeUnavailable, message: "AWS could not reach the issuer.",
		admin: "make the discovery document and JWKS of the OIDC provider in account {account} reachable for AWS."},
	{code: "PackedPolicyTooLarge", result: broker.CodeDenied, message: "The session tags are too large for AWS.",
		admin: "send fewer or shorter session_tags with {role}."},
	{code: "MalformedPolicyDocument", result: broker.CodeDenied, message: "AWS did not accept the session policy.",
		admin: "check the session policy of {role}."},
	{code: "RegionDisabledException", result: broker.CodeDenied, message: "STS is switched off in this region for the account.",
		admin: "activate STS in account {account}, or set other sts_regions in rolegate."},
	{code: "AccessDenied", result: broker.CodeDenied, message: "AWS refuses this role.",
		admin: "check that {role} exists under exactly this name and that its trust policy allows {provider} {action}, sts:SetSourceIdentity if a source identity is sent and sts:TagSession if session tags are, under conditions that hold."},
}

func (v verdict) matches(api smithy.APIError, via broker.Via) bool {
	return (v.code == "" || v.code == api.ErrorCode()) && (v.via == "" || v.via == via) &&
		strings.Contains(strings.ToLower(api.ErrorMessage()), strings.ToLower(v.contains))
}

// unknownError is the SDK's code for an error document that is none of AWS's.
const unknownError = "UnknownError"

// explain turns a failed STS call into what the person or their admin can do.
// STS's own text stays private: it can quote what was sent.
func explain(err error, r broker.AssumeRoleRequest) error {
	if err == nil {
		return broker.Errorf(broker.CodeUnavailable, "rolegate knows no AWS endpoint for this account's partition.").
			Because(fmt.Errorf("federation: partition %q", r.Assignment.Account.Partition))
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if status := statusOf(err); status != 0 && status < 500 && (!ok || api.ErrorCode() == unknownError) {
		return broker.Errorf(broker.CodeUnavailable, "Something between rolegate and AWS answered in the place of STS (HTTP status %d).", status).
			Fix("Your administrator can mend this: let rolegate reach STS itself, past a proxy that asks for a password or shows pages of its own.").
			Because(fmt.Errorf("federation: STS: %w", err))
	}
	if !ok {
		return broker.Errorf(broker.CodeUnavailable, "AWS does not answer.").Fix("Try again in a minute.").
			Because(fmt.Errorf("federation: STS: %w", err))
	}
	cause := fmt.Errorf("federation: STS said %s: %s", quoted(api.ErrorCode()), quoted(api.ErrorMessage()))
	for _, v := range verdicts {
		if !v.matches(api, r.Assertion.Kind) {
			continue
		}
		e := broker.Errorf(v.result, "%s", v.message).Because(cause)
		if v.person != "" {
			return e.Fix("%s", v.person)
		}
		return e.Fix("Your AWS administrator can mend this: %s", fill(v.admin, r))
	}
	if _, busy := tryNext(err); busy {
		return broker.Errorf(broker.CodeUnavailable, "AWS is busy.").Fix("Try again in a minute.").Because(cause)
	}
	if statusOf(err) >= 500 {
		return broker.Errorf(broker.CodeUnavailable, "AWS has a problem.").Fix("Try again in a minute.").Because(cause)
	}
	return broker.Errorf(broker.CodeDenied, "AWS refused the request (%s).", safeCode(api.ErrorCode())).
		Fix("Show your AWS administrator this page; the role is %s.", r.Assignment.RoleARN).Because(cause)
}

func fill(remedy string, r broker.AssumeRoleRequest) string {
	a := r.Assignment
	account := string(a.Account.ID)
	if a.Account.Name != "" {
		account += " (" + a.Account.Name + ")"
	}
	provider, action := string(a.ProviderARN), "sts:AssumeRoleWithSAML"
	if r.Assertion.Kind != broker.ViaSAML {
		action = "sts:AssumeRoleWithWebIdentity"
	}
	if provider == "" {
		provider = "the identity provider object in the account"
	}
	return strings.NewReplacer("{role}", string(a.RoleARN), "{account}", account, "{provider}", provider, "{action}", action).Replace(remedy)
}

// quoted makes foreign text safe for a log line.
func quoted(s string) string {
	if len(s) > 300 {
		s = s[:300]
	}
	return strconv.Quote(s)
}

// safeCode lets through what AWS's error codes look like and nothing else.
func safeCode(code string) string {
	if code == "" || len(code) > 60 || strings.ContainsFunc(code, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '.'
	}) {
		return "unknown code"
	}
	return code
}
