resource "aws_cloudwatch_event_rule" "heal" {
  name                = "${var.name}-heal"
  description         = "Repairs what a failed rotation of a Maia runner's credentials left."
  schedule_expression = "rate(${var.heal_every_minutes} minutes)"
}

resource "aws_cloudwatch_event_target" "heal" {
  rule  = aws_cloudwatch_event_rule.heal.name
  arn   = aws_lambda_function.rotation.arn
  input = jsonencode({ action = "heal" })

  retry_policy {
    maximum_event_age_in_seconds = 900
    maximum_retry_attempts       = 2
  }

  depends_on = [aws_lambda_permission.heal]
}

resource "aws_lambda_permission" "heal" {
  statement_id  = "Heal"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.rotation.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.heal.arn
}

# Only of asynchronous invocations, which the healing is and a rotation is not. One that is 15 minutes old is left to the
# next.
resource "aws_lambda_function_event_invoke_config" "heal" {
  function_name                = aws_lambda_function.rotation.function_name
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 900
}
