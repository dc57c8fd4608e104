output "function_arn" {
  description = "The function."
  value       = aws_lambda_function.rotation.arn
}

output "role_arn" {
  description = "Its role, for key policies and resource policies of the secrets."
  value       = aws_iam_role.rotation.arn
}

output "alarm_topic_arn" {
  description = "Where alarms go. Subscribe to it."
  value       = local.topic_arn
}

output "commands" {
  description = "To check and to act: check shows what a rotation would do and changes nothing; rotate has one command for each secret."
  value = {
    check  = "aws lambda invoke --function-name ${var.name} --cli-binary-format raw-in-base64-out --payload '{\"action\":\"plan\"}' --cli-read-timeout 0 /dev/stdout"
    rotate = { for name, s in var.secrets : name => "aws secretsmanager rotate-secret --secret-id ${s.arn}" }
    log    = "aws logs tail ${aws_cloudwatch_log_group.rotation.name} --follow"
  }
}
