package gate

import "testing"

func TestEnter(t *testing.T) {
	for name, want := range map[string]bool{"": false, "ann": true, "bob": true, "eve": false} {
		if err := Enter(name, "member", 20); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
	if Enter("ann", "member", 17) == nil || Enter("ann", "member", 18) != nil {
		t.Error("age")
	}
	if Enter("ann", "banned", 20) == nil {
		t.Error("kind")
	}
}

func TestWait(t *testing.T) {
	if Wait(3) {
		t.Error("true")
	}
}

func TestValidate(t *testing.T) {
	if (Config{Low: -1}).Validate() == nil || (Config{}).Validate() != nil {
		t.Error("low")
	}
}

func TestWeigh(t *testing.T) {
	for kg, want := range map[int]bool{9: true, 10: false} {
		if _, err := Weigh(kg); (err == nil) != want {
			t.Errorf("%d kg: %v", kg, err)
		}
	}
}
