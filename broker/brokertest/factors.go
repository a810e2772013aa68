package brokertest

import (
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker"
)

// Codes checks real codes with another implementation than ours.
type Codes struct{}

const TestKey = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

func (Codes) NewKey(string) (broker.CodeKey, error) {
	return broker.CodeKey{Secret: broker.NewSecret(TestKey)}, nil
}

func (Codes) Picture(string, broker.Secret) (broker.QRCode, error) { return broker.QRCode{}, nil }

func (Codes) Match(s broker.Secret, code string, at time.Time) (int64, bool) {
	for d := int64(-1); d <= 1; d++ {
		if c, err := totp.GenerateCode(s.Reveal(), at.Add(time.Duration(d)*30*time.Second)); err == nil && c == code {
			return at.Unix()/30 + d, true
		}
	}
	return 0, false
}

// keys is a passkey of which the answer "good" is right.
type Passkeys struct{}

func (Passkeys) BeginEnrol(broker.PasskeyUser, [][]byte) (broker.PasskeyChallenge, error) {
	return broker.PasskeyChallenge{Options: []byte("{}"), State: []byte("s")}, nil
}

func (Passkeys) FinishEnrol(_ broker.PasskeyUser, _, answer []byte) (string, []byte, error) {
	if string(answer) != "good" {
		return "", nil, broker.Errorf(broker.CodeUnauthenticated, "wrong")
	}
	return "id", []byte(`{"n":1}`), nil
}

func (Passkeys) BeginUse(broker.PasskeyUser, [][]byte) (broker.PasskeyChallenge, error) {
	return broker.PasskeyChallenge{Options: []byte("{}"), State: []byte("s")}, nil
}

func (Passkeys) FinishUse(_ broker.PasskeyUser, _ [][]byte, _, answer []byte) (int, []byte, error) {
	if string(answer) != "good" {
		return 0, nil, broker.Errorf(broker.CodeUnauthenticated, "wrong")
	}
	return 0, []byte(`{"n":2}`), nil
}
