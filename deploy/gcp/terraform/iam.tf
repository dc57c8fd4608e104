locals {
  credentials = split("/", var.credentials_secret)
  projects    = toset([for release in var.releases : split("/", release)[1]])
}

resource "google_service_account" "function" {
  project      = var.project
  account_id   = var.name
  display_name = "Rotates the credentials of Maia runners"
}

resource "google_service_account" "scheduler" {
  project      = var.project
  account_id   = "${var.name}-scheduler"
  display_name = "Calls the function ${var.name}"
}

# What the function may do inside a cluster is said there: the output rbac.
resource "google_project_iam_custom_role" "clusters" {
  for_each = local.projects

  project     = each.key
  role_id     = "${replace(var.name, "-", "_")}_clusters"
  title       = "${var.name}: reach clusters"
  description = "Find a cluster of GKE, and connect to its control plane."
  permissions = ["container.clusters.connect", "container.clusters.get"]
}

resource "google_project_iam_member" "clusters" {
  for_each = local.projects

  project = each.key
  role    = google_project_iam_custom_role.clusters[each.key].id
  member  = "serviceAccount:${google_service_account.function.email}"
}

resource "google_secret_manager_secret_iam_member" "function" {
  project   = local.credentials[1]
  secret_id = local.credentials[3]
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${google_service_account.function.email}"
}

resource "google_cloud_run_v2_service_iam_member" "scheduler" {
  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.rotation.name # the service has the function's name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${google_service_account.scheduler.email}"
}
