package aws

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// formValues is a posted form.
type formValues struct{ url.Values }

// readForm reads a form body and keeps its bytes, which SigV4 signs.
func readForm(r *http.Request) ([]byte, formValues, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, formValues{url.Values{}}, fmt.Errorf("content type %q", r.Header.Get("Content-Type"))
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, formValues{url.Values{}}, err
	}
	v, err := url.ParseQuery(string(b))
	if v == nil {
		v = url.Values{}
	}
	return b, formValues{v}, err
}

type callerResponse struct {
	XMLName   xml.Name `xml:"GetCallerIdentityResponse"`
	NS        string   `xml:"xmlns,attr"`
	Arn       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

// callerIdentity says who the session token is.
func (a *AWS) callerIdentity(r *http.Request, body []byte, requestID string) (any, error) {
	s, err := a.caller(r, body)
	if err != nil {
		return nil, err
	}
	return callerResponse{NS: stsNamespace, Arn: s.ARN(), UserID: s.RoleID + ":" + s.Name, Account: s.Account, RequestID: requestID}, nil
}

// caller verifies the SigV4 signature and returns the session.
func (a *AWS) caller(r *http.Request, body []byte) (*session, error) {
	auth := parseAuthorization(r.Header.Get("Authorization"))
	a.mu.Lock()
	issued := a.sessions[auth.key]
	a.mu.Unlock()
	token, ours := a.readToken(r.Header.Get("X-Amz-Security-Token"))
	if err := a.need("call.token", issued != nil && ours && token.AccessKeyID == auth.key,
		refuse("InvalidClientTokenId", "The security token included in the request is invalid.")); err != nil {
		return nil, err
	}
	if issued == nil || !ours {
		return nil, errUnreadable
	}
	date, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	now := a.o.Now()
	err = first(
		a.need("call.signature", hmac.Equal([]byte(auth.signature), []byte(sign(r, body, auth, issued.secret))),
			refuse("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")),
		a.need("call.clock", err == nil && now.Sub(date).Abs() <= 5*time.Minute, refuse("SignatureDoesNotMatch", "Signature expired")),
		a.need("call.expired", now.Before(token.Expires), refuse("ExpiredToken", "The security token included in the request is expired")),
	)
	if err != nil {
		return nil, err
	}
	return token, nil
}

type authorization struct {
	key, scope, signature string
	headers               []string
}

func parseAuthorization(s string) authorization {
	rest, ok := strings.CutPrefix(s, "AWS4-HMAC-SHA256 ")
	if !ok {
		return authorization{}
	}
	var a authorization
	for part := range strings.SplitSeq(rest, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch k {
		case "Credential":
			a.key, a.scope, _ = strings.Cut(v, "/")
		case "SignedHeaders":
			a.headers = strings.Split(v, ";")
		case "Signature":
			a.signature = v
		}
	}
	return a
}

// sign computes the signature that the request should have (AWS "Signature
// Version 4 signing process"). Host, date and token must be among the signed
// headers.
func sign(r *http.Request, body []byte, auth authorization, secret string) string {
	for _, h := range []string{"host", "x-amz-date", "x-amz-security-token"} {
		if !slices.Contains(auth.headers, h) {
			return "header " + h + " is not signed"
		}
	}
	var canonical strings.Builder
	for _, h := range auth.headers {
		v := strings.Join(r.Header.Values(h), ",")
		switch h {
		case "host":
			v = r.Host
		case "content-length":
			v = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&canonical, "%s:%s\n", h, strings.Join(strings.Fields(v), " "))
	}
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	request := strings.Join([]string{
		r.Method, path, r.URL.Query().Encode(), canonical.String(), strings.Join(auth.headers, ";"), hexHash(body),
	}, "\n")
	parts := strings.Split(auth.scope, "/")
	if len(parts) != 4 || parts[2] != "sts" || parts[3] != "aws4_request" {
		return "bad scope"
	}
	text := strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), auth.scope, hexHash([]byte(request))}, "\n")
	key := []byte("AWS4" + secret)
	for _, p := range parts {
		key = mac(key, p)
	}
	return hex.EncodeToString(mac(key, text))
}

func mac(key []byte, s string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(s))
	return m.Sum(nil)
}

func hexHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
