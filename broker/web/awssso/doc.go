// Package awssso speaks what AWS SDKs and the AWS CLI speak for profiles with
// sso_session: the SSO-OIDC service below /aws/oidc and the portal below
// /aws/portal, with their JSON names, error headers and units.
//
//	POST /aws/oidc/client/register
//	POST /aws/oidc/device_authorization
//	POST /aws/oidc/token
//	GET  /aws/portal/assignment/accounts
//	GET  /aws/portal/assignment/roles
//	GET  /aws/portal/federation/credentials
//	POST /aws/portal/logout
//
// The clients take an error's kind from the header x-amzn-ErrorType alone.
// The portal's token travels in x-amz-sso_bearer_token; cookies and
// Authorization are not looked at. Credentials come from
// [broker.Access.AssumeRole], as everywhere. The page /authorize, which these
// clients expect at the root of the host, is in web/oauth.
package awssso
