package admin

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
)

// CertificateEnd is a certificate whose end would stop sign-ins or hide the
// portal.
type CertificateEnd struct {
	Use         string            // what it is for: "idp-signing", "tls", or the purpose of a key of ours
	Provider    broker.ProviderID // whose it is, empty for ours
	Fingerprint string            // lower-case hex SHA-256
	NotAfter    time.Time
}

// Name says whose certificate it is and what for.
func (c CertificateEnd) Name() string {
	if c.Provider == "" {
		return c.Use
	}
	return c.Use + " of " + string(c.Provider)
}

// alarmDays are the days before the end at which an alarm is raised, the most
// urgent first.
var alarmDays = []int{7, 30, 60}

const day = 24 * time.Hour

// CertificateAlarm is a certificate that ends soon, or has ended.
type CertificateAlarm struct {
	CertificateEnd
	Days int           // the threshold that was crossed: 60, 30 or 7
	Left time.Duration // negative once it has ended
}

// DueCertificates returns an alarm for each certificate that ends within 60
// days, for the most urgent threshold that it has crossed, soonest end first.
func DueCertificates(now time.Time, all []CertificateEnd) []CertificateAlarm {
	var out []CertificateAlarm
	for _, c := range all {
		left := c.NotAfter.Sub(now)
		for _, d := range alarmDays {
			if left <= time.Duration(d)*day {
				out = append(out, CertificateAlarm{c, d, left})
				break
			}
		}
	}
	slices.SortStableFunc(out, func(a, b CertificateAlarm) int { return a.NotAfter.Compare(b.NotAfter) })
	return out
}

// CertificateAlarms tells once per threshold that a certificate ends: once for
// all nodes and restarts, as the store remembers it.
type CertificateAlarms struct {
	State   broker.StateStore
	Journal *journal.Journal
	Now     func() time.Time // nil: time.Now
}

// Raise records an event for each alarm that is due and was not raised before,
// and returns those. An alarm whose event could not be recorded is raised again
// at the next call; the error is the store's.
func (a CertificateAlarms) Raise(ctx context.Context, all []CertificateEnd) ([]CertificateAlarm, error) {
	now := time.Now()
	if a.Now != nil {
		now = a.Now()
	}
	var raised []CertificateAlarm
	for _, x := range DueCertificates(now, all) {
		key := "certificate/" + broker.NewSecret(x.Name()+"\x00"+x.Fingerprint).Hash() + "/" + strconv.Itoa(x.Days)
		fresh, err := a.State.PutIfAbsent(ctx, key, []byte{1}, max(x.Left, 0)+90*day)
		if err != nil {
			return raised, err
		}
		if !fresh {
			continue
		}
		e := journal.Entry{Action: broker.ActionCertificate, Warning: true, Target: string(x.Provider)}
		e.Detail = map[string]string{
			"use": x.Use, "fingerprint": x.Fingerprint, "not_after": x.NotAfter.UTC().Format(time.RFC3339), "days": strconv.Itoa(x.Days),
		}
		if err := a.Journal.Record(ctx, e); err != nil {
			// Not told: forget it. If that fails too, the log line of this
			// error is all that is left of the alarm.
			_, _ = a.State.Take(context.WithoutCancel(ctx), key)
			return raised, err
		}
		raised = append(raised, x)
	}
	return raised, nil
}
