locals {
  topic_arn = var.alarm_topic_arn == null ? one(aws_sns_topic.alarms[*].arn) : var.alarm_topic_arn
}

resource "aws_sns_topic" "alarms" {
  count = var.alarm_topic_arn == null ? 1 : 0

  name         = var.name
  display_name = "maia-rotate"
}

# It takes the place of the topic's default policy, and with it the alarms' right to publish.
data "aws_iam_policy_document" "topic" {
  count = var.alarm_topic_arn == null && var.cloudtrail_enabled ? 1 : 0

  statement {
    sid       = "Alarms"
    actions   = ["sns:Publish"]
    resources = [local.topic_arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }

  statement {
    sid       = "Events"
    actions   = ["sns:Publish"]
    resources = [local.topic_arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = aws_cloudwatch_event_rule.failure[*].arn
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  count = var.alarm_topic_arn == null && var.cloudtrail_enabled ? 1 : 0

  arn    = local.topic_arn
  policy = data.aws_iam_policy_document.topic[0].json
}

resource "aws_cloudwatch_event_rule" "failure" {
  count = var.cloudtrail_enabled ? 1 : 0

  name        = "${var.name}-failure"
  description = "Reports that the rotation of a Maia runner's credentials failed or was abandoned."
  event_pattern = jsonencode({
    source      = ["aws.secretsmanager"]
    detail-type = ["AWS Service Event via CloudTrail"]
    detail = {
      eventName           = ["RotationFailed", "RotationAbandoned"]
      additionalEventData = { SecretId = local.secret_arns }
    }
  })
}

resource "aws_cloudwatch_event_target" "failure" {
  count = var.cloudtrail_enabled ? 1 : 0

  rule = aws_cloudwatch_event_rule.failure[0].name
  arn  = local.topic_arn

  input_transformer {
    input_paths = {
      event  = "$.detail.eventName"
      secret = "$.detail.additionalEventData.SecretId"
      time   = "$.time"
    }
    input_template = "\"<event> at <time>: <secret>. The log of the function says in which state the runner is and what to do.\""
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${var.name}-errors"
  alarm_description   = "The function that rotates the credentials of Maia runners failed. Its log says in which state the runner is and what to do."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.rotation.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [local.topic_arn]
}

# The period covers a whole round of healing, so that a runner that is back does not hide one that is not.
resource "aws_cloudwatch_metric_alarm" "down" {
  alarm_name          = "${var.name}-down"
  alarm_description   = "A Maia runner is cut off by a refresh for more than ${var.downtime_seconds} s. It is healed every ${var.heal_every_minutes} minutes; the function's log says why that does not help."
  namespace           = "MaiaRotate"
  metric_name         = "DowntimeSeconds"
  dimensions          = { Function = aws_lambda_function.rotation.function_name }
  statistic           = "Maximum"
  period              = 1800
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.downtime_seconds
  treat_missing_data  = "ignore" # down until reported back
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "paused" {
  alarm_name          = "${var.name}-paused"
  alarm_description   = "A Maia runner was left paused, and whether by the function or by an operator is not known. If no operator has paused it, resume it; the function's log has the command."
  namespace           = "MaiaRotate"
  metric_name         = "LeftPaused"
  dimensions          = { Function = aws_lambda_function.rotation.function_name }
  statistic           = "Maximum"
  period              = 1800
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "ignore" # paused until reported otherwise
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
}

# Every healing reports the ages. Three hours without any mean that healing does not run. (The first state of an alarm is
# INSUFFICIENT_DATA, which is no change and so sends no notification.)
resource "aws_cloudwatch_metric_alarm" "age" {
  alarm_name                = "${var.name}-age"
  alarm_description         = "A Maia runner's secret was not rotated for more than ${var.max_age_days} days. Or, as INSUFFICIENT_DATA, the healing does not run."
  namespace                 = "MaiaRotate"
  metric_name               = "CredentialAgeDays"
  dimensions                = { Function = aws_lambda_function.rotation.function_name }
  statistic                 = "Maximum"
  period                    = 10800
  evaluation_periods        = 1
  comparison_operator       = "GreaterThanThreshold"
  threshold                 = var.max_age_days
  treat_missing_data        = "missing"
  alarm_actions             = [local.topic_arn]
  insufficient_data_actions = [local.topic_arn]
}
