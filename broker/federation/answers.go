package federation

import (
	"errors"
	"fmt"
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
// who mends it how. %s in the remedy is replaced by role and account.
type verdict struct {
	code     string // on the wire; "" matches any
	contains string // part of the message; "" matches any
	result   broker.Code
	message  string
	remedy   string
}

// verdicts, first match wins. Codes and messages: IAM User Guide
// "Troubleshooting SAML federation", STS API model, and reported cases.
var verdicts = []verdict{
	{"ValidationError", "MaxSessionDuration", broker.CodeDenied,
		"AWS does not allow sessions this long for the role.",
		"raise MaxSessionDuration of %s, or lower max_duration in rolegate."},
	{"ValidationError", "ARN is invalid", broker.CodeDenied,
		"AWS does not know this role.", "check the name and path of %s (iam_role in rolegate)."},
	{"InvalidIdentityToken", "Specified provider doesn't exist", broker.CodeDenied,
		"The AWS account does not trust rolegate yet.", "create the SAML provider in the account of %s from rolegate's metadata."},
	{"InvalidIdentityToken", "No OpenIDConnect provider found", broker.CodeDenied,
		"The AWS account does not trust this issuer yet.", "create the OIDC provider in the account of %s."},
	{"InvalidIdentityToken", "signature invalid", broker.CodeDenied,
		"The AWS account holds old keys of rolegate.", "update the SAML provider in the account of %s with rolegate's current metadata."},
	{"InvalidIdentityToken", "Issuer not present", broker.CodeDenied,
		"The AWS account trusts another issuer under this provider's name.", "update the SAML provider in the account of %s with rolegate's metadata."},
	{"InvalidIdentityToken", "required audience", broker.CodeDenied,
		"AWS wants another audience.", "check aws.saml in rolegate for the partition of %s."},
	{"InvalidIdentityToken", "Incorrect token audience", broker.CodeDenied,
		"The AWS account expects another audience in the token.", "add the token's audience to the client ids of the OIDC provider in the account of %s."},
	{"InvalidIdentityToken", "verification key", broker.CodeDenied,
		"AWS could not fetch the issuer's keys.", "make the issuer's discovery document and JWKS reachable for AWS, for %s."},
	{"InvalidIdentityToken", "RoleSessionName", broker.CodeDenied,
		"AWS does not accept the session name.", "check role_session.name in rolegate, for %s."},
	{"InvalidIdentityToken", "Source Identity", broker.CodeDenied,
		"AWS does not accept the source identity.", "check role_session.source_identity in rolegate, for %s."},
	{"InvalidIdentityToken", "", broker.CodeDenied,
		"AWS did not accept rolegate's assertion.", "check the identity provider object in the account of %s."},
	{"ExpiredTokenException", "", broker.CodeDenied,
		"AWS found the assertion too old.", "check the clock of the machine rolegate runs on; it was refused for %s."},
	{"IDPRejectedClaim", "", broker.CodeDenied,
		"AWS refused a claim of the assertion.", "look at the trust policy of %s and at rolegate's events."},
	{"IDPCommunicationError", "", broker.CodeUnavailable,
		"AWS could not reach the issuer.", "make discovery and JWKS reachable for AWS, for %s."},
	{"PackedPolicyTooLarge", "", broker.CodeDenied,
		"The session tags are too large for AWS.", "send fewer or shorter session_tags with %s."},
	{"MalformedPolicyDocument", "", broker.CodeDenied,
		"AWS did not accept the session policy.", "check the session policy of %s."},
	{"RegionDisabledException", "", broker.CodeDenied,
		"STS is switched off in this region for the account.", "activate STS in the account of %s, or set other sts_regions in rolegate."},
	{"AccessDenied", "", broker.CodeDenied,
		"AWS refuses this role.", "check that %s exists under exactly this name and that its trust policy allows rolegate's provider sts:AssumeRoleWithSAML or sts:AssumeRoleWithWebIdentity, sts:SetSourceIdentity and, with session tags, sts:TagSession."},
	{"Throttling", "", broker.CodeUnavailable, "AWS is busy.", ""},
	{"ThrottlingException", "", broker.CodeUnavailable, "AWS is busy.", ""},
}

// explain turns a failed STS call into what the person or their admin can do.
// STS's own text stays private: it can quote what was sent.
func explain(err error, a broker.Assignment) error {
	if err == nil {
		return broker.Errorf(broker.CodeUnavailable, "AWS has no STS endpoint for this partition.")
	}
	if e, ok := errors.AsType[*broker.Error](err); ok {
		return e
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return broker.Errorf(broker.CodeUnavailable, "AWS does not answer.").Fix("Try again in a minute.").
			Because(fmt.Errorf("federation: STS: %w", err))
	}
	cause := fmt.Errorf("federation: STS said %s: %s", api.ErrorCode(), api.ErrorMessage())
	for _, v := range verdicts {
		if v.code != api.ErrorCode() || !strings.Contains(strings.ToLower(api.ErrorMessage()), strings.ToLower(v.contains)) {
			continue
		}
		e := broker.Errorf(v.result, "%s", v.message).Because(cause)
		if v.remedy == "" {
			return e.Fix("Try again in a minute.")
		}
		return e.Fix("Your AWS administrator can mend this: "+v.remedy, a.RoleARN)
	}
	if overloaded(err) {
		return broker.Errorf(broker.CodeUnavailable, "AWS has a problem.").Fix("Try again in a minute.").Because(cause)
	}
	return broker.Errorf(broker.CodeDenied, "AWS refused the request (%s).", safeCode(api.ErrorCode())).
		Fix("Show your AWS administrator this page; the role is %s.", a.RoleARN).Because(cause)
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
