package saml

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// collapse is the white space collapse of XML Schema (xs:anyURI, xs:dateTime
// and their like): what the document is laid out with says nothing.
func collapse(s string) string { return strings.Join(strings.Fields(s), " ") }

// dateTime reads an xs:dateTime. SAML times are in UTC and have no time zone
// (SAML core 1.3.3), which most write with a Z and some without.
func dateTime(s string) (time.Time, error) {
	s = collapse(s)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", s)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("%.40q is no time", s)
	}
	return t.UTC(), nil
}

var durationForm = regexp.MustCompile(`^P(?:(\d{1,4})Y)?(?:(\d{1,5})M)?(?:(\d{1,6})D)?(?:T(?:(\d{1,7})H)?(?:(\d{1,8})M)?(?:(\d{1,9})(?:\.\d+)?S)?)?$`)

const day = 24 * time.Hour

// duration reads an xs:duration that is not negative, a year taken as 365 days
// and a month as 30.
func duration(s string) (time.Duration, error) {
	m := durationForm.FindStringSubmatch(collapse(s))
	if m == nil || strings.HasSuffix(s, "P") || strings.HasSuffix(s, "T") {
		return 0, fmt.Errorf("%.40q is no duration", s)
	}
	var total time.Duration
	for i, unit := range []time.Duration{365 * day, 30 * day, day, time.Hour, time.Minute, time.Second} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.Atoi(m[i+1])
		if err != nil || time.Duration(n) > (200*365*day-total)/unit {
			return 0, errors.New("a duration of more than 200 years")
		}
		total += time.Duration(n) * unit
	}
	return total, nil
}
