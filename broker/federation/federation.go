package federation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithy "github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/rolegate/rolegate/broker"
)

// callTimeout bounds one STS or sign-in call.
const callTimeout = 10 * time.Second

// Config of a [Federation].
type Config struct {
	Partitions map[broker.Partition]PartitionConfig
	Insecure   InsecureEndpoints
	HTTP       *http.Client // needed; carries time-outs and the outbound policy
	Version    string       // for the User-Agent
}

// Validate lists what is wrong.
func (c Config) Validate() error {
	var errs []error
	for p, pc := range c.Partitions {
		if _, ok := partitions[p]; !ok {
			errs = append(errs, fmt.Errorf("federation: partition %q is not known", p))
		}
		for _, r := range append(append([]string(nil), pc.STSRegions...), pc.SignInRegions...) {
			if !regionPattern.MatchString(r) {
				errs = append(errs, fmt.Errorf("federation: %q is not the name of an AWS region", r))
			}
		}
	}
	for _, e := range []string{c.Insecure.STS, c.Insecure.SignIn, c.Insecure.Console} {
		if u, err := url.Parse(e); e != "" && (err != nil || u.Host == "" || u.Path != "") {
			errs = append(errs, fmt.Errorf("federation: endpoint %q is not scheme://host[:port]", e))
		}
	}
	if c.HTTP == nil {
		errs = append(errs, errors.New("federation: an HTTP client is needed"))
	}
	return errors.Join(errs...)
}

// Federation implements [broker.RoleAssumer]. It is safe for concurrent use.
type Federation struct {
	c         Config
	userAgent string
}

// New returns a Federation, or what is wrong with the configuration.
func New(c Config) (*Federation, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	for _, e := range []*string{&c.Insecure.STS, &c.Insecure.SignIn, &c.Insecure.Console} {
		*e = strings.TrimSuffix(*e, "/")
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	return &Federation{c: c, userAgent: "rolegate/" + c.Version}, nil
}

func (f *Federation) client(e endpoint) *sts.Client {
	return sts.New(sts.Options{
		Region: e.region, BaseEndpoint: aws.String(e.url), Credentials: aws.AnonymousCredentials{}, HTTPClient: f.c.HTTP,
		RetryMaxAttempts: 1, AppID: "rolegate",
		APIOptions: []func(*middleware.Stack) error{smithyhttp.SetHeaderValue("User-Agent", f.userAgent)},
	})
}

// AssumeRole makes the STS call of the assignment's via. Endpoints are tried in
// order; a verdict of STS is final, only silence, overload and a region that is
// switched off lead to the next. The answer must be about the role and session
// that were asked for.
func (f *Federation) AssumeRole(ctx context.Context, r broker.AssumeRoleRequest) (broker.RoleSession, error) {
	var last error
	for _, e := range f.stsEndpoints(r.Assignment.Account.Partition) {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		rs, err := f.assume(call, e, r)
		cancel()
		if err == nil {
			return rs, f.crossCheck(r, rs)
		}
		last = err
		if !tryNext(err) || ctx.Err() != nil {
			break
		}
	}
	return broker.RoleSession{}, explain(last, r.Assignment)
}

func (f *Federation) assume(ctx context.Context, e endpoint, r broker.AssumeRoleRequest) (broker.RoleSession, error) {
	seconds := aws.Int32(int32(r.Duration / time.Second)) //nolint:gosec // G115: 43200 at most, see broker.ValidDuration
	raw := aws.String(r.Assertion.Raw.Reveal())
	role := aws.String(string(r.Assignment.RoleARN))
	if r.Assertion.Kind == broker.ViaSAML {
		out, err := f.client(e).AssumeRoleWithSAML(ctx, &sts.AssumeRoleWithSAMLInput{
			PrincipalArn: aws.String(string(r.Assignment.ProviderARN)), RoleArn: role, SAMLAssertion: raw, DurationSeconds: seconds,
		})
		if err != nil {
			return broker.RoleSession{}, err
		}
		rs, err := session(out.Credentials, out.AssumedRoleUser, out.ResultMetadata)
		rs.NameQualifier, rs.AssertedSubject, rs.SourceIdentity = aws.ToString(out.NameQualifier), aws.ToString(out.Subject), aws.ToString(out.SourceIdentity)
		return rs, err
	}
	out, err := f.client(e).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: role, RoleSessionName: aws.String(r.SessionName), WebIdentityToken: raw, DurationSeconds: seconds,
	})
	if err != nil {
		return broker.RoleSession{}, err
	}
	rs, err := session(out.Credentials, out.AssumedRoleUser, out.ResultMetadata)
	rs.AssertedSubject, rs.SourceIdentity = aws.ToString(out.SubjectFromWebIdentityToken), aws.ToString(out.SourceIdentity)
	return rs, err
}

// crossCheck refuses an answer about another role or session: the name in the
// ARN is what CloudTrail will show for the person.
func (f *Federation) crossCheck(r broker.AssumeRoleRequest, rs broker.RoleSession) error {
	a := r.Assignment
	role := string(a.RoleARN)[strings.LastIndexByte(string(a.RoleARN), '/')+1:]
	want := fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", a.Account.Partition, a.Account.ID, role, r.SessionName)
	if rs.AssumedRoleARN != want {
		return broker.Errorf(broker.CodeUnavailable, "AWS answered about another role session than the one asked for.").
			Because(fmt.Errorf("federation: got %q, want %q", rs.AssumedRoleARN, want))
	}
	return nil
}

func tryNext(err error) bool {
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "RegionDisabledException", "Throttling", "ThrottlingException", "RequestLimitExceeded", "InternalFailure", "ServiceUnavailable":
			return true
		}
	}
	if overloaded(err) {
		return true
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded)
}

// overloaded reports whether the endpoint answered with a 5xx status.
func overloaded(err error) bool {
	var status interface{ HTTPStatusCode() int }
	return errors.As(err, &status) && status.HTTPStatusCode() >= 500
}
