resource "aws_cloudwatch_dashboard" "rotation" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [
      {
        type = "metric", x = 0, y = 0, width = 12, height = 6,
        properties = {
          title   = "Days since the last rotation", region = data.aws_region.current.id, view = "timeSeries",
          metrics = [[{ expression = "SEARCH('{MaiaRotate,Function,Runner} MetricName=\"CredentialAgeDays\" Function=\"${var.name}\"', 'Maximum', 3600)" }]]
        }
      },
      {
        type = "metric", x = 12, y = 0, width = 12, height = 6,
        properties = {
          title = "Down now, and each downtime", region = data.aws_region.current.id, view = "timeSeries",
          metrics = [
            [{ expression = "SEARCH('{MaiaRotate,Function,Runner} MetricName=\"DowntimeSeconds\" Function=\"${var.name}\"', 'Maximum', 300)" }],
            [{ expression = "SEARCH('{MaiaRotate,Function,Runner} MetricName=\"RotationDowntimeSeconds\" Function=\"${var.name}\"', 'Maximum', 300)" }],
          ]
        }
      },
      {
        type = "metric", x = 0, y = 6, width = 12, height = 6,
        properties = {
          title   = "Outcomes in a day", region = data.aws_region.current.id, view = "timeSeries", stacked = true,
          metrics = [[{ expression = "SEARCH('{MaiaRotate,Function,Outcome} MetricName=\"RotationOutcome\" Function=\"${var.name}\"', 'Sum', 86400)" }]]
        }
      },
      {
        type = "metric", x = 12, y = 6, width = 12, height = 6,
        properties = {
          title = "Errors, and seconds of a step", region = data.aws_region.current.id, view = "timeSeries",
          metrics = [
            ["AWS/Lambda", "Errors", "FunctionName", var.name, { stat = "Sum", period = 300, yAxis = "right" }],
            [{ expression = "SEARCH('{MaiaRotate,Function,Runner,Step} MetricName=\"RotationDurationSeconds\" Function=\"${var.name}\"', 'Maximum', 300)" }],
          ]
        }
      },
    ]
  })
}
