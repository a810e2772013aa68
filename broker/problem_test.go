package broker_test

import (
	"testing"

	"github.com/rolegate/rolegate/broker"
)

func TestProblems(t *testing.T) {
	var ps broker.Problems
	if ps.Err() != nil {
		t.Error("no problem is an error")
	}
	ps.Add("A", "is %d", 1)
	ps.Add("B[0]", "is wrong")
	ps.OneOf("C", "red", "red", "green")
	ps.OneOf("C", "gren", "red", "green")
	ps.OneOf("C", "", "red", "green")
	if err := ps.Err(); err == nil || err.Error() != "A: is 1\nB[0]: is wrong\nC: \"gren\" is not one of red, green (did you mean \"green\"?)\nC: \"\" is not one of red, green" {
		t.Errorf("%v", err)
	}
}
