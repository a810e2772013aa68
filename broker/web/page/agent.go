package page

import "strings"

// Agent names the family of a browser or program and its system in the words
// of people, e.g. "Firefox on Linux". It tells sessions apart and proves
// nothing: everybody can send any User-Agent.
func Agent(userAgent string) string {
	family := first(userAgent, [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser", "Samsung Internet"}, {"Firefox", "Firefox"}, {"FxiOS", "Firefox"},
		{"CriOS", "Chrome"}, {"Chrome", "Chrome"}, {"Safari", "Safari"}, {"rolegate", "rolegate command line"},
		{"aws-cli", "AWS CLI"}, {"curl", "curl"}, {"Go-http-client", "a Go program"}, {"python", "a Python program"},
	})
	system := first(userAgent, [][2]string{
		{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"CrOS", "ChromeOS"},
		{"Mac OS X", "macOS"}, {"Linux", "Linux"},
	})
	switch {
	case family == "" && system == "":
		return "Unknown program"
	case family == "":
		return "Unknown program on " + system
	case system == "":
		return family
	}
	return family + " on " + system
}

// first returns the name of the first mark that s holds.
func first(s string, marks [][2]string) string {
	for _, m := range marks {
		if strings.Contains(s, m[0]) {
			return m[1]
		}
	}
	return ""
}
