package federation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
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

// firstWait is how long a busy STS is left alone; it doubles.
const firstWait = 200 * time.Millisecond

// answerLimit bounds what is read of any answer.
const answerLimit = 1 << 20

// Config of a [Federation].
type Config struct {
	Partitions map[broker.Partition]PartitionConfig
	Insecure   InsecureEndpoints
	HTTP       *http.Client // needed; carries the outbound policy. Its redirect policy and cookies are not used
	Version    string       // for the User-Agent
}

// Validate lists what is wrong with the settings, as [broker.Problems]. The HTTP
// client, which the program adds to them, is looked at by [New].
func (c Config) Validate() error { return c.settings().Err() }

func (c Config) settings() broker.Problems {
	var ps broker.Problems
	for _, p := range slices.Sorted(maps.Keys(c.Partitions)) {
		at := fmt.Sprintf("Partitions[%s]", p)
		if err := p.Check(); err != nil {
			ps.Add(at, "%v", err)
			continue
		}
		known := partitions[p]
		for _, list := range []struct {
			field   string
			regions []string
		}{{".STSRegions", c.Partitions[p].STSRegions}, {".SignInRegions", c.Partitions[p].SignInRegions}} {
			for i, r := range list.regions {
				if !known.hasRegion(r) {
					ps.Add(fmt.Sprintf("%s%s[%d]", at, list.field, i), "%q is not the name of a region of partition %s, as in %s", r, p, known.regions[0])
				}
			}
		}
	}
	for _, e := range []struct{ field, url string }{
		{"Insecure.STS", c.Insecure.STS}, {"Insecure.SignIn", c.Insecure.SignIn}, {"Insecure.Console", c.Insecure.Console},
	} {
		if e.url == "" {
			continue
		}
		u, err := url.Parse(strings.TrimSuffix(e.url, "/"))
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			ps.Add(e.field, "%q is not scheme://host:port", broker.RedactURL(e.url))
		}
	}
	return ps
}

// Federation implements [broker.RoleAssumer]. It is safe for concurrent use.
type Federation struct {
	c         Config
	http      *http.Client
	userAgent string
	sts       map[broker.Partition][]*sts.Client
}

// New returns a Federation, or what is wrong with the configuration.
func New(c Config) (*Federation, error) {
	ps := c.settings()
	if c.HTTP == nil {
		ps.Add("HTTP", "an HTTP client is needed")
	}
	if err := ps.Err(); err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	c.Insecure = c.Insecure.trimmed()
	if c.Version == "" {
		c.Version = "dev"
	}
	f := &Federation{c: c, http: guarded(c.HTTP), userAgent: "rolegate/" + c.Version, sts: map[broker.Partition][]*sts.Client{}}
	for p := range partitions {
		for _, e := range f.stsEndpoints(p) {
			f.sts[p] = append(f.sts[p], f.client(e))
		}
	}
	return f, nil
}

// guarded returns a copy of c that follows no redirect, as one would carry an
// assertion or credentials to a host that we did not choose, keeps no cookies,
// and limits what is read of an answer.
func guarded(c *http.Client) *http.Client {
	base := c.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	return &http.Client{
		Transport: limited{base}, Timeout: c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type limited struct{ base http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, answerLimit)
	return resp, nil
}

// client makes an STS client by hand: nothing is read from the environment,
// from a profile or from instance metadata. The one middleware that would look
// at the environment (for a Lambda trace id) is taken out.
func (f *Federation) client(e endpoint) *sts.Client {
	return sts.New(sts.Options{
		Region: e.region, BaseEndpoint: aws.String(e.url), Credentials: aws.AnonymousCredentials{}, HTTPClient: f.http,
		RetryMaxAttempts: 1, // retries are ours, over several regions
		APIOptions: []func(*middleware.Stack) error{
			smithyhttp.SetHeaderValue("User-Agent", f.userAgent),
			func(s *middleware.Stack) error {
				_, err := s.Build.Remove("RecursionDetection")
				return err
			},
		},
	})
}

// AssumeRole makes the STS call of the assignment's via. Endpoints are tried in
// order; a verdict of STS is final, only silence, overload and a region that is
// switched off lead to the next, and a busy STS is asked once more after a
// pause. The answer must be about the role and session that were asked for.
// Codes: CodeDenied with what to mend in which account, CodeUnavailable when
// AWS does not answer, CodeUnauthenticated when the corporate token has run out.
func (f *Federation) AssumeRole(ctx context.Context, r broker.AssumeRoleRequest) (broker.RoleSession, error) {
	var last error
	clients := f.sts[r.Assignment.Account.Partition]
	tries, pause := len(clients), firstWait
	for n := 0; n < tries; n++ {
		rs, err := f.assume(ctx, clients[n%len(clients)], r)
		if err == nil {
			if err := crossCheck(r, rs); err != nil {
				return broker.RoleSession{}, err
			}
			return rs, nil
		}
		last = err
		next, busy := tryNext(err)
		if !next || ctx.Err() != nil {
			break
		}
		if busy {
			tries = len(clients) + 1
			if n+1 < tries && !wait(ctx, pause) {
				break
			}
			pause *= 2
		}
	}
	return broker.RoleSession{}, explain(last, r)
}

// wait reports whether d went by before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *Federation) assume(ctx context.Context, c *sts.Client, r broker.AssumeRoleRequest) (broker.RoleSession, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	seconds := aws.Int32(int32(r.Duration / time.Second)) //nolint:gosec // G115: 43200 at most, see broker.ValidDuration
	raw := aws.String(r.Assertion.Raw.Reveal())
	role := aws.String(string(r.Assignment.RoleARN))
	if r.Assertion.Kind == broker.ViaSAML {
		out, err := c.AssumeRoleWithSAML(ctx, &sts.AssumeRoleWithSAMLInput{
			PrincipalArn: aws.String(string(r.Assignment.ProviderARN)), RoleArn: role, SAMLAssertion: raw, DurationSeconds: seconds,
		})
		if err != nil {
			return broker.RoleSession{}, err
		}
		rs, err := session(out.Credentials, out.AssumedRoleUser, out.ResultMetadata)
		rs.NameQualifier, rs.AssertedSubject, rs.SourceIdentity = aws.ToString(out.NameQualifier), aws.ToString(out.Subject), aws.ToString(out.SourceIdentity)
		return rs, err
	}
	out, err := c.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
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
func crossCheck(r broker.AssumeRoleRequest, rs broker.RoleSession) error {
	a := r.Assignment
	role := string(a.RoleARN)[strings.LastIndexByte(string(a.RoleARN), '/')+1:]
	want := fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", a.Account.Partition, a.Account.ID, role, r.SessionName)
	if rs.AssumedRoleARN != want || !strings.HasSuffix(rs.AssumedRoleID, ":"+r.SessionName) {
		return broker.Errorf(broker.CodeUnavailable, "AWS answered about another role session than the one asked for.").
			Fix("Tell your administrator: the credentials were thrown away.").
			Because(fmt.Errorf("federation: got %s (%s), want %q", quoted(rs.AssumedRoleARN), quoted(rs.AssumedRoleID), want))
	}
	return nil
}

// tryNext says whether another endpoint may do better, and whether it should be
// given a moment first.
func tryNext(err error) (next, busy bool) {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "RegionDisabledException":
			return true, false
		case "Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown", "IDPCommunicationError", "ServiceUnavailable":
			return true, true
		}
	}
	switch status := statusOf(err); {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return true, true
	case status != 0:
		return status >= 500, false
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, context.DeadlineExceeded), false
}

// statusOf returns the HTTP status of a failed call, 0 if none arrived.
func statusOf(err error) int {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && r.Response != nil && r.Response.Response != nil {
		return r.HTTPStatusCode()
	}
	return 0
}
