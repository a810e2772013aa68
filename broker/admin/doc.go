// Package admin is the use case of looking after rolegate and its people: what
// happened, who is signed in, why somebody has a role, and which certificate
// ends soon. Whoever asks is judged anew each time, and what was looked at is an
// event before it is handed out.
package admin
