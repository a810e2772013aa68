"""The default provider chain of botocore, then sts:GetCallerIdentity."""
import botocore.session

sts = botocore.session.get_session().create_client("sts", region_name="us-east-1")
print(sts.get_caller_identity()["Arn"])
