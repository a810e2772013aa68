// Package e2e holds tests only: the built program, real browsers and real
// identity providers, from the portal's first page to a console session.
//
// Peers are named by the environment (ROLEGATE_TEST_CHROMIUM,
// ROLEGATE_TEST_SIMPLESAMLPHP, ROLEGATE_TEST_OIDC_PROVIDER,
// ROLEGATE_TEST_LEMONLDAP, ROLEGATE_TEST_POSTGRES), which .ci/test
// sets after it started them; LemonLDAP::NG is started by its test, in the
// folder named. Without one its tests are left out and say so;
// with CI=true that is a failure.
package e2e
