package portal

import (
	"html"
	"html/template"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// Regions lists the regions people may choose for the console, by partition.
func Regions() map[broker.Partition][]string {
	return map[broker.Partition][]string{
		broker.PartitionAWS: {
			"af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2",
			"ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ca-central-1", "ca-west-1",
			"eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3",
			"il-central-1", "me-central-1", "me-south-1", "mx-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
		},
		broker.PartitionGovCloud: {"us-gov-east-1", "us-gov-west-1"},
		broker.PartitionChina:    {"cn-north-1", "cn-northwest-1"},
		broker.PartitionEUSC:     {"eusc-de-east-1"},
	}
}

// regionMenus writes the options of each partition once: they are the same on
// every page, and a seventh of what rendering a short one would cost.
func regionMenus(regions map[broker.Partition][]string) map[broker.Partition]template.HTML {
	out := make(map[broker.Partition]template.HTML, len(regions))
	for partition, names := range regions {
		var b strings.Builder
		b.WriteString(`<optgroup label="` + html.EscapeString(string(partition)) + `">`)
		for _, name := range names {
			b.WriteString("<option>" + html.EscapeString(name) + "</option>")
		}
		b.WriteString("</optgroup>")
		out[partition] = template.HTML(b.String()) //nolint:gosec // each value is escaped above
	}
	return out
}
