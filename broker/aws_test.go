package broker_test

import (
	"testing"

	"github.com/rolegate/rolegate/broker"
)

func TestPartitionCheck(t *testing.T) {
	for _, p := range broker.Partitions() {
		if err := p.Check(); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	if err := broker.Partition("aws-moon").Check(); err == nil || err.Error() != `there is no partition "aws-moon": aws, aws-us-gov, aws-cn and aws-eusc are known` {
		t.Errorf("%v", err)
	}
}
