# Tests in deploy/aws compare this with the calls that the function really makes.
data "aws_iam_policy_document" "rotation" {
  statement {
    sid = "RunnerSecrets"
    actions = [
      "secretsmanager:DescribeSecret",
      "secretsmanager:GetSecretValue",
      "secretsmanager:PutSecretValue",
      "secretsmanager:UpdateSecretVersionStage",
    ]
    resources = local.secret_arns
  }

  statement {
    sid       = "ApiCredential"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.credentials_secret_arn]
  }

  statement {
    sid = "Services"
    actions = [
      "ecs:DescribeServices",
      "ecs:UpdateService", # knows no condition key ecs:cluster, so the resource has to name the cluster
    ]
    resources = concat(
      [for cluster in var.ecs_clusters : "${local.ecs}:service/${cluster}/*"],
      [for service in var.ecs_services : "${local.ecs}:service/${service}"],
    )
  }

  statement {
    sid       = "TaskDefinitions"
    actions   = ["ecs:DescribeTaskDefinition"]
    resources = ["*"] # IAM knows no narrower one
  }

  dynamic "statement" {
    for_each = length(var.ecs_clusters) > 0 ? [var.ecs_clusters] : []
    content {
      sid       = "FindServices"
      actions   = ["ecs:ListServices"]
      resources = ["*"] # IAM knows the condition key only

      condition {
        test     = "ArnEquals"
        variable = "ecs:cluster"
        values   = [for cluster in statement.value : "${local.ecs}:cluster/${cluster}"]
      }
    }
  }

  # Secrets Manager uses the key on the role's behalf. It names the secret in the encryption context, which
  # kms:DescribeKey does not have, and the function does not need.
  dynamic "statement" {
    for_each = length(var.kms_key_arns) > 0 ? {
      Decrypt = { action = "kms:Decrypt", secrets = concat([var.credentials_secret_arn], local.secret_arns) }
      Encrypt = { action = "kms:GenerateDataKey", secrets = local.secret_arns }
    } : {}
    content {
      sid       = statement.key
      actions   = [statement.value.action]
      resources = var.kms_key_arns

      condition {
        test     = "StringEquals"
        variable = "kms:EncryptionContext:SecretARN"
        values   = statement.value.secrets
      }
    }
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.rotation.arn}:*"]
  }

  # Lambda makes the network interfaces. The key is there when the function's own code calls, which must not.
  dynamic "statement" {
    for_each = var.vpc == null ? [] : [var.vpc]
    content {
      sid = "NetworkInterfaces"
      actions = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
      ]
      resources = ["*"]

      condition {
        test     = "Null"
        variable = "lambda:SourceFunctionArn"
        values   = ["true"]
      }
    }
  }
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "rotation" {
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "rotation" {
  name   = "rotate"
  role   = aws_iam_role.rotation.id
  policy = data.aws_iam_policy_document.rotation.json
}
