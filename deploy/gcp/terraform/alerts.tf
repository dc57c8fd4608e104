locals {
  log = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}\" AND resource.labels.location=\"${var.region}\""

  # Each call writes one line for each runner, with message "runner".
  alerts = {
    failure = {
      title  = "a call failed, or a runner"
      filter = "severity>=ERROR AND ((${local.log}) OR (resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${var.name}\" AND resource.labels.location=\"${var.region}\"))"
      labels = { error = "EXTRACT(jsonPayload.error)" }
      text   = "The line \"the runner failed\" or \"the call failed\" in the function's log says in which state the runner is and what to do. A line of Cloud Scheduler's alone says that the function could not be called or did not answer in time."
    }
    down = {
      title  = "a runner is cut off for more than ${var.downtime_seconds} s"
      filter = "${local.log} AND jsonPayload.message=\"runner\" AND jsonPayload.downtime_seconds>${var.downtime_seconds}"
      labels = { runner = "EXTRACT(jsonPayload.runner)" }
      text   = "A refresh has revoked the runner's secret, and the runner is not back. Every call heals it; the function's log says why that does not help."
    }
    left_paused = {
      title  = "a runner is left paused"
      filter = "${local.log} AND jsonPayload.message=\"runner\" AND jsonPayload.left_paused=true"
      labels = { runner = "EXTRACT(jsonPayload.runner)" }
      text   = "A run of ours has paused the runner, and it is paused still: it runs no pipelines. Either it could not be resumed, which the next call tries again, or whose pause it is cannot be known. If no operator has paused it, resume it in Maia's console, or by POST /v1/agents/AGENT_ID/commands with {\"command\":\"RESUME\"}."
    }
    age = {
      title  = "no rotation for more than ${var.max_age_days} days, or none ever"
      filter = "${local.log} AND jsonPayload.message=\"runner\" AND (jsonPayload.age_days>${var.max_age_days} OR jsonPayload.never_rotated=true)"
      labels = { runner = "EXTRACT(jsonPayload.runner)" }
      text   = "The runner was due, and was not rotated. The line \"runner\" in the function's log says as its outcome why."
    }
  }
}

resource "google_monitoring_alert_policy" "log" {
  for_each = local.alerts

  project               = var.project
  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = each.value.title

    condition_matched_log {
      filter           = each.value.filter
      label_extractors = each.value.labels
    }
  }

  alert_strategy {
    auto_close = "7200s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = each.value.text
  }
}

resource "google_logging_metric" "runners" {
  project     = var.project
  name        = "${var.name}-runners"
  description = "Runners that calls of the function observed."
  filter      = "${local.log} AND jsonPayload.message=\"runner\""

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

resource "google_logging_metric" "left_paused" {
  project     = var.project
  name        = "${var.name}-left-paused"
  description = "Runners that calls of the function left paused."
  filter      = local.alerts.left_paused.filter

  label_extractors = local.alerts.left_paused.labels

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    labels {
      key        = "runner"
      value_type = "STRING"
    }
  }
}

resource "google_monitoring_alert_policy" "silence" {
  project               = var.project
  display_name          = "${var.name}: no runner was observed for three hours"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "no runner was observed for three hours"

    condition_threshold {
      filter                  = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.runners.name}\" AND resource.type=\"cloud_run_revision\""
      comparison              = "COMPARISON_LT"
      threshold_value         = 1
      duration                = "300s"
      evaluation_missing_data = "EVALUATION_MISSING_DATA_ACTIVE"

      aggregations {
        alignment_period     = "10800s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "The function is not called, or fails before it gets to a runner: nothing is rotated, and nothing is healed. Check the Scheduler job ${var.name}, and the function's log."
  }
}
