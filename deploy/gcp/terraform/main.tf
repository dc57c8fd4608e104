locals {
  variables = {
    MAIA_HELM_RELEASES          = join(",", sort(var.releases))
    MAIA_HELM_SECRET_PATH       = var.secret_path
    MAIA_AGENT_IDS              = join(",", sort(var.agent_ids))
    MAIA_CREDENTIALS_SECRET     = "${var.credentials_secret}/versions/latest"
    MAIA_REGION                 = var.maia_region
    MAIA_ROTATE_EVERY           = var.rotate_every
    MAIA_ROTATE_WINDOW          = var.rotate_window
    MAIA_ROTATE_FIRST           = length(var.rotate_first) == 0 ? null : join(",", sort(var.rotate_first))
    MAIA_ROTATE_SOAK            = length(var.rotate_first) == 0 ? null : var.rotate_soak
    MAIA_ROTATE_DRAIN           = var.drain
    MAIA_ROTATE_DRAIN_TIMEOUT   = var.drain_timeout
    MAIA_ROTATE_CONNECT_TIMEOUT = var.connect_timeout
  }
}

resource "google_storage_bucket" "source" {
  project                     = var.project
  name                        = "${replace(replace(var.project, ":", "-"), ".", "-")}-${var.name}-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true # it holds nothing else
  labels                      = var.labels
}

resource "google_storage_bucket_object" "source" {
  bucket = google_storage_bucket.source.name
  name   = "${var.name}-${filemd5(var.package)}.zip" # a new one makes a new revision
  source = var.package
}

# One instance that takes one request. Neither is a lock: the Lease in the runner's namespace is.
resource "google_cloudfunctions2_function" "rotation" {
  project     = var.project
  location    = var.region
  name        = var.name
  description = "Rotates the OAuth credentials of Matillion Maia runners."
  labels      = var.labels

  build_config {
    runtime         = var.runtime
    entry_point     = "RotateRunnerSecrets"
    service_account = var.build_service_account

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.function.email
    timeout_seconds                  = var.timeout_seconds
    available_memory                 = "512Mi"
    max_instance_count               = 1
    max_instance_request_concurrency = 1
    ingress_settings                 = "ALLOW_INTERNAL_ONLY" # Cloud Scheduler of the same project is internal
    all_traffic_on_latest_revision   = true
    environment_variables            = { for name, value in local.variables : name => value if value != null }

    direct_vpc_egress = var.vpc == null ? null : var.vpc.all_traffic ? "VPC_EGRESS_ALL_TRAFFIC" : "VPC_EGRESS_PRIVATE_RANGES_ONLY"

    dynamic "direct_vpc_network_interface" {
      for_each = var.vpc == null ? [] : [var.vpc]
      content {
        network    = direct_vpc_network_interface.value.network
        subnetwork = direct_vpc_network_interface.value.subnetwork
        tags       = direct_vpc_network_interface.value.tags
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.function, google_project_iam_member.clusters]
}

# Every call heals what needs it and rotates what is due, so one that is delivered twice, or again, does no harm.
resource "google_cloud_scheduler_job" "rotation" {
  project          = var.project
  region           = var.region
  name             = var.name
  description      = "Calls the function that rotates the credentials of Maia runners."
  schedule         = "*/${var.call_every_minutes} * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "1800s" # the longest there is; the default would be three minutes

  retry_config {
    retry_count          = 1 # each may pause a runner that is due and busy; the next call comes soon anyway
    min_backoff_duration = "60s"
  }

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.rotation.service_config[0].uri

    oidc_token {
      service_account_email = google_service_account.scheduler.email
      audience              = google_cloudfunctions2_function.rotation.service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.scheduler]
}
