locals {
  action_groups = concat(sort(var.action_group_ids), azurerm_monitor_action_group.emails[*].id)

  # Each call writes one line of JSON for each runner, with msg "runner". The last one in the window counts.
  alerts = {
    failure = {
      title     = "a call failed, or a runner"
      severity  = 1
      query     = "requests\n| where success == false"
      window    = "PT15M"
      every     = "PT5M"
      dimension = []
      text      = "A line of the function's log with level ERROR says in which state the runner is and what to do. Without one the host could not start the function, or ended it."
    }
    down = {
      title     = "a runner is cut off for more than ${var.downtime_seconds} s"
      severity  = 0
      query     = "traces\n| extend line = parse_json(message)\n| where tostring(line.msg) == 'runner'\n| extend runner = tostring(line.runner), value = todouble(line.downtime_seconds)\n| where isnotnull(value)\n| summarize arg_max(timestamp, value) by runner\n| where value > ${var.downtime_seconds}"
      window    = "PT${var.silence_hours}H"
      every     = "PT5M"
      dimension = ["runner"]
      text      = "A refresh has revoked the runner's secret, and the runner is not back. Every call heals it; the function's log says why that does not help."
    }
    paused = {
      title     = "a runner is left paused"
      severity  = 1
      query     = "traces\n| extend line = parse_json(message)\n| where tostring(line.msg) == 'runner'\n| extend runner = tostring(line.runner), value = iff(isnotnull(line.left_paused), 1.0, iff(isnotnull(line.downtime_seconds), 0.0, real(null)))\n| where isnotnull(value)\n| summarize arg_max(timestamp, value) by runner\n| where value > 0"
      window    = "PT${var.silence_hours}H"
      every     = "PT5M"
      dimension = ["runner"]
      text      = "The runner is connected and paused, by a rotation or by what cannot be distinguished from one, and no pipeline starts. The function's log names the command that resumes it."
    }
    age = {
      title     = "no rotation for more than ${var.max_age_days} days, or none ever"
      severity  = 2
      query     = "traces\n| extend line = parse_json(message)\n| where tostring(line.msg) == 'runner'\n| extend runner = tostring(line.runner), value = iff(isnotnull(line.never_rotated), 1000000.0, todouble(line.age_days))\n| where isnotnull(value)\n| summarize arg_max(timestamp, value) by runner\n| where value > ${var.max_age_days}"
      window    = "PT${var.silence_hours}H"
      every     = "PT1H"
      dimension = ["runner"]
      text      = "The runner was due, and was not rotated. The line 'runner' in the function's log says as its outcome why."
    }
  }
}

resource "azurerm_monitor_action_group" "emails" {
  count = length(var.alert_emails) == 0 ? 0 : 1

  name                = var.name
  resource_group_name = local.resource_group
  short_name          = "maia-rotate"
  tags                = var.tags

  dynamic "email_receiver" {
    for_each = var.alert_emails
    content {
      name                    = email_receiver.value
      email_address           = email_receiver.value
      use_common_alert_schema = true
    }
  }
}

resource "azurerm_monitor_scheduled_query_rules_alert_v2" "log" {
  for_each = local.alerts

  name                    = "${var.name}-${each.key}"
  display_name            = "${var.name}: ${each.value.title}"
  description             = each.value.text
  resource_group_name     = local.resource_group
  location                = var.location
  scopes                  = [azurerm_application_insights.function.id]
  severity                = each.value.severity
  evaluation_frequency    = each.value.every
  window_duration         = each.value.window
  auto_mitigation_enabled = true
  skip_query_validation   = true
  tags                    = var.tags

  criteria {
    query                   = each.value.query
    time_aggregation_method = "Count"
    operator                = "GreaterThan"
    threshold               = 0

    dynamic "dimension" {
      for_each = each.value.dimension
      content {
        name     = dimension.value
        operator = "Include"
        values   = ["*"]
      }
    }

    failing_periods {
      number_of_evaluation_periods             = 1
      minimum_failing_periods_to_trigger_alert = 1
    }
  }

  action {
    action_groups = local.action_groups
  }
}

# It watches the lines that the others read, and so notices a timer that has stopped, too.
resource "azurerm_monitor_scheduled_query_rules_alert_v2" "silence" {
  name                    = "${var.name}-silence"
  display_name            = "${var.name}: no runner was observed for ${var.silence_hours} hours"
  description             = "The function is not called, or fails before it gets to a runner, or its log does not arrive: nothing is rotated, nothing is healed, and the other alerts are blind. Check the invocations of RotateRunnerSecrets in the function app; restarting the app starts a timer that has stopped."
  resource_group_name     = local.resource_group
  location                = var.location
  scopes                  = [azurerm_application_insights.function.id]
  severity                = 1
  evaluation_frequency    = "PT15M"
  window_duration         = "PT${var.silence_hours}H"
  auto_mitigation_enabled = true
  skip_query_validation   = true
  tags                    = var.tags

  criteria {
    query                   = "traces\n| extend line = parse_json(message)\n| where tostring(line.msg) == 'runner'\n| summarize lines = count()"
    time_aggregation_method = "Total"
    metric_measure_column   = "lines"
    operator                = "LessThan"
    threshold               = 1

    failing_periods {
      number_of_evaluation_periods             = 1
      minimum_failing_periods_to_trigger_alert = 1
    }
  }

  action {
    action_groups = local.action_groups
  }
}
