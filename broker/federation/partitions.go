package federation

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// partition holds the host names of one AWS partition.
type partition struct {
	stsSuffix string   // sts.REGION.SUFFIX
	signIn    string   // federation host without region; "" where there is none
	signInFor string   // REGION.SUFFIX form of it
	console   string   // console host; REGION.CONSOLE is the regional form
	regions   []string // default STS regions, in order
	names     *regexp.Regexp
}

// hasRegion reports whether r looks like a region of the partition. New regions
// need no new rolegate, and no other text gets into a host name.
func (p partition) hasRegion(r string) bool { return len(r) <= 25 && p.names.MatchString(r) }

// partitions: sign-in and console hosts as in AWS's endpoint rules and current
// clients; EUSC has the regional sign-in form only. The patterns are those of
// the AWS CLI's partitions.json.
var partitions = map[broker.Partition]partition{
	broker.PartitionAWS: {
		stsSuffix: "amazonaws.com", signIn: "signin.aws.amazon.com", signInFor: "signin.aws.amazon.com",
		console: "console.aws.amazon.com", regions: []string{"us-east-1", "us-west-2"},
		names: regexp.MustCompile(`^(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-[0-9]{1,2}$`),
	},
	broker.PartitionGovCloud: {
		stsSuffix: "amazonaws.com", signIn: "signin.amazonaws-us-gov.com", signInFor: "signin.amazonaws-us-gov.com",
		console: "console.amazonaws-us-gov.com", regions: []string{"us-gov-west-1", "us-gov-east-1"},
		names: regexp.MustCompile(`^us-gov-[a-z]+-[0-9]{1,2}$`),
	},
	broker.PartitionChina: {
		stsSuffix: "amazonaws.com.cn", signIn: "signin.amazonaws.cn", signInFor: "signin.amazonaws.cn",
		console: "console.amazonaws.cn", regions: []string{"cn-north-1", "cn-northwest-1"},
		names: regexp.MustCompile(`^cn-[a-z]+-[0-9]{1,2}$`),
	},
	broker.PartitionEUSC: {
		stsSuffix: "amazonaws.eu", signInFor: "signin.amazonaws-eusc.eu",
		console: "console.amazonaws-eusc.eu", regions: []string{"eusc-de-east-1"},
		names: regexp.MustCompile(`^eusc-[a-z]{2}-[a-z]+-[0-9]{1,2}$`),
	},
}

// PartitionConfig sets the regions of one partition. Empty lists mean the
// defaults: two STS regions, and the sign-in host without region where the
// partition has one.
type PartitionConfig struct {
	STSRegions    []string // tried in order
	SignInRegions []string // tried in order
}

// InsecureEndpoints replace AWS's hosts, for a sandbox: base URLs without a
// trailing slash. Empty fields keep AWS's.
type InsecureEndpoints struct {
	STS, SignIn, Console string
}

// trimmed returns e without trailing slashes.
func (e InsecureEndpoints) trimmed() InsecureEndpoints {
	return InsecureEndpoints{strings.TrimSuffix(e.STS, "/"), strings.TrimSuffix(e.SignIn, "/"), strings.TrimSuffix(e.Console, "/")}
}

type endpoint struct {
	region string
	url    string
}

func (f *Federation) stsEndpoints(p broker.Partition) []endpoint {
	known := partitions[p]
	regions := f.c.Partitions[p].STSRegions
	if len(regions) == 0 {
		regions = known.regions
	}
	if f.c.Insecure.STS != "" {
		return []endpoint{{regions[0], f.c.Insecure.STS}}
	}
	var out []endpoint
	for _, r := range regions {
		out = append(out, endpoint{r, "https://sts." + r + "." + known.stsSuffix})
	}
	return out
}

func (c Config) signInEndpoints(p broker.Partition) []string {
	if c.Insecure.SignIn != "" {
		return []string{c.Insecure.SignIn}
	}
	known := partitions[p]
	regions := c.Partitions[p].SignInRegions
	if len(regions) == 0 && known.signIn != "" {
		return []string{"https://" + known.signIn}
	}
	if len(regions) == 0 {
		regions = known.regions
	}
	var out []string
	for _, r := range regions {
		out = append(out, "https://"+r+"."+known.signInFor)
	}
	return out
}

// Endpoints returns the STS and sign-in addresses that are tried for the
// partition, in order.
func (f *Federation) Endpoints(p broker.Partition) (sts, signIn []string) {
	for _, e := range f.stsEndpoints(p) {
		sts = append(sts, e.url)
	}
	return sts, f.c.signInEndpoints(p)
}

// Origins returns every scheme://host a browser is sent to, for a page's
// Content-Security-Policy: sign-in and console hosts of the partitions.
func (c Config) Origins(ps []broker.Partition) []string {
	c.Insecure = c.Insecure.trimmed()
	var out []string
	add := func(o string) {
		if !slices.Contains(out, o) {
			out = append(out, o)
		}
	}
	for _, p := range ps {
		for _, e := range c.signInEndpoints(p) {
			add(e)
		}
		if c.Insecure.Console != "" {
			add(c.Insecure.Console)
			continue
		}
		add("https://" + partitions[p].console)
		add("https://*." + partitions[p].console)
	}
	return out
}

// Service is a console destination people may choose.
type Service struct {
	Path string // as in broker.Destination.Path
	Name string
}

// services is the allow-list of console destinations: the path's first segment
// must be one of these.
var services = []Service{
	{"", "Console home"}, {"billing/home", "Billing and cost management"}, {"cloudformation/home", "CloudFormation"},
	{"cloudfront/v4/home", "CloudFront"}, {"cloudtrail/home", "CloudTrail"}, {"cloudwatch/home", "CloudWatch"},
	{"codebuild/home", "CodeBuild"}, {"codepipeline/home", "CodePipeline"}, {"config/home", "Config"},
	{"costmanagement/home", "Cost explorer"}, {"dynamodbv2/home", "DynamoDB"}, {"ec2/home", "EC2"}, {"ecr/home", "ECR"},
	{"ecs/v2", "ECS"}, {"eks/home", "EKS"}, {"elasticache/home", "ElastiCache"}, {"events/home", "EventBridge"},
	{"guardduty/home", "GuardDuty"}, {"iam/home", "IAM"}, {"kms/home", "KMS"}, {"lambda/home", "Lambda"},
	{"rds/home", "RDS"}, {"route53/v2/home", "Route 53"}, {"s3/home", "S3"}, {"secretsmanager/home", "Secrets Manager"},
	{"securityhub/home", "Security Hub"}, {"sns/v3/home", "SNS"}, {"sqs/v3/home", "SQS"}, {"states/home", "Step Functions"},
	{"systems-manager/home", "Systems Manager"}, {"vpc/home", "VPC"}, {"wafv2/homev2", "WAF"},
}

// Services lists the console destinations for a picker, by name.
func Services() []Service { return slices.Clone(services) }

var pathPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$`)

// destination builds the console URL of d, or says what is wrong with d
// (CodeInvalid). Nothing of the input reaches the URL unchecked: AWS follows it.
func (f *Federation) destination(p broker.Partition, d broker.Destination) (string, error) {
	known, ok := partitions[p]
	if !ok {
		return "", broker.Errorf(broker.CodeUnavailable, "AWS has no console for the partition of this account.").
			Because(fmt.Errorf("federation: partition %q", p))
	}
	if d.Region != "" && !known.hasRegion(d.Region) {
		return "", broker.Errorf(broker.CodeInvalid, "This is not the name of an AWS region of this account's partition.").Fix("Write it like %s.", known.regions[0])
	}
	base, query := "https://"+known.console, ""
	if d.Region != "" {
		base, query = "https://"+d.Region+"."+known.console, "?region="+d.Region
	}
	if f.c.Insecure.Console != "" {
		base = f.c.Insecure.Console
	}
	if d.Path == "" {
		if f.c.Insecure.Console != "" {
			return base + "/" + query, nil
		}
		return base + "/console/home" + query, nil
	}
	if !allowed(d.Path) {
		return "", broker.Errorf(broker.CodeInvalid, "This is not a place in the AWS console that rolegate opens.").
			Fix("Choose a service from the list.").Because(fmt.Errorf("federation: path of %d bytes", len(d.Path)))
	}
	return base + "/" + d.Path + query, nil
}

// allowed reports whether path is a plain path into a listed service.
func allowed(path string) bool {
	if len(path) > 200 || !pathPattern.MatchString(path) {
		return false
	}
	first, _, _ := strings.Cut(path, "/")
	return slices.ContainsFunc(services, func(s Service) bool {
		known, _, _ := strings.Cut(s.Path, "/")
		return known == first
	})
}
