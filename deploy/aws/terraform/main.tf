data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  ecs         = "arn:${data.aws_partition.current.partition}:ecs:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}"
  secret_arns = sort([for s in var.secrets : s.arn])
}

# No reserved concurrency: AWS advises at least 10 or none, and a throttled step fails the rotation.
resource "aws_lambda_function" "rotation" {
  function_name    = var.name
  description      = "Rotates the OAuth credentials of Matillion Maia runners."
  role             = aws_iam_role.rotation.arn
  filename         = var.package
  source_code_hash = filebase64sha256(var.package)
  handler          = "bootstrap"
  runtime          = "provided.al2023"
  architectures    = ["arm64"]
  memory_size      = 256
  timeout          = 900

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.rotation.name
  }

  environment {
    variables = { # the function takes an empty one for one that is not set
      MAIA_CREDENTIALS_SECRET_ARN = var.credentials_secret_arn
      MAIA_SECRET_ARNS            = join(",", local.secret_arns)
      MAIA_ECS_CLUSTERS           = join(",", var.ecs_clusters)
      MAIA_ECS_SERVICES           = join(",", var.ecs_services)
      MAIA_AGENT_IDS              = join(",", distinct([for s in var.secrets : s.agent_id]))
      MAIA_REGION                 = var.maia_region == null ? "" : var.maia_region
      MAIA_ROTATE_DRAIN           = var.drain
      MAIA_ROTATE_DRAIN_TIMEOUT   = var.drain_timeout
      MAIA_ROTATE_CONNECT_TIMEOUT = var.connect_timeout
    }
  }

  dynamic "vpc_config" {
    for_each = var.vpc == null ? [] : [var.vpc]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  depends_on = [aws_iam_role_policy.rotation]
}

resource "aws_cloudwatch_log_group" "rotation" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_permission" "secrets_manager" {
  statement_id   = "SecretsManager"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.rotation.function_name
  principal      = "secretsmanager.amazonaws.com"
  source_account = data.aws_caller_identity.current.account_id
}

# Secrets Manager lets the function test its configuration when a schedule is made: everything must be there by then.
resource "aws_secretsmanager_secret_rotation" "runner" {
  for_each = var.secrets

  secret_id           = each.value.arn
  rotation_lambda_arn = aws_lambda_function.rotation.arn
  rotate_immediately  = var.rotate_immediately

  rotation_rules {
    schedule_expression = each.value.schedule
    duration            = each.value.window
  }

  depends_on = [aws_lambda_permission.secrets_manager]
}
