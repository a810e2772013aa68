// Package formbrowser is a browser without script: cookies, redirects and HTML
// forms over real HTTP. The demo's self-check and the end-to-end tests sign in
// with it.
package formbrowser
