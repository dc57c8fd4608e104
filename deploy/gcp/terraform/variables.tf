variable "name" {
  description = "The function's name. The names of everything else begin with it."
  type        = string
  default     = "maia-rotate"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,18}[a-z0-9]$", var.name))
    error_message = "Expected 6 to 20 lower-case letters, digits or -, of which the first is a letter and the last is not -."
  }
}

variable "project" {
  description = "The project of the function."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "Expected the ID of a project, not its number."
  }
}

variable "region" {
  description = "The region of the function and of its Scheduler job."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Expected a region like europe-west1."
  }
}

variable "package" {
  description = "The path of the function's source bundle, made by: maia-rotate package gcp -o FILE.zip"
  type        = string
  nullable    = false

  validation {
    condition     = endswith(var.package, ".zip")
    error_message = "Expected the path of a zip file."
  }
}

variable "runtime" {
  description = "The Go runtime that builds and runs the function. The bundle needs go126 or later."
  type        = string
  default     = "go126"
  nullable    = false

  validation {
    condition     = can(regex("^go(12[6-9]|1[3-9][0-9])$", var.runtime))
    error_message = "Expected go126 or later."
  }
}

variable "releases" {
  description = "The runners' Helm releases, as projects/PROJECT/locations/LOCATION/clusters/CLUSTER/namespaces/NAMESPACE/releases/RELEASE."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.releases) > 0
    error_message = "Expected at least one release."
  }
  validation {
    condition     = alltrue([for r in var.releases : can(regex("^projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/clusters/[a-z0-9-]+/namespaces/[a-z0-9-]+/releases/[a-z0-9.-]+$", r))])
    error_message = "Expected projects/PROJECT/locations/LOCATION/clusters/CLUSTER/namespaces/NAMESPACE/releases/RELEASE."
  }
}

variable "agent_ids" {
  description = "The agents that the function may serve. Any other in one of the releases is refused."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.agent_ids) > 0 && alltrue([for id in var.agent_ids : can(regex("^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", id))])
    error_message = "Expected UUIDs, at least one."
  }
}

variable "secret_path" {
  description = "Where the client_secret is in a release's values, if it is not at config.oauthClientSecret as in the vendor's chart. The client ID is next to it."
  type        = string
  default     = null

  validation {
    condition     = var.secret_path == null ? true : can(regex("^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$", var.secret_path))
    error_message = "Expected names joined by dots, or null."
  }
}

variable "credentials_secret" {
  description = "The Secret Manager secret with the client_id and client_secret of a Maia API credential whose role is Admin, as JSON: projects/PROJECT/secrets/SECRET. Its latest version is read in every call."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^projects/[^/]+/secrets/[A-Za-z0-9_-]{1,255}$", var.credentials_secret))
    error_message = "Expected projects/PROJECT/secrets/SECRET, without a version."
  }
}

variable "maia_region" {
  description = "Maia's region: eu1, us1 or au1. Null takes the one in the release's values."
  type        = string
  default     = null

  validation {
    condition     = var.maia_region == null ? true : contains(["eu1", "us1", "au1"], var.maia_region)
    error_message = "Expected eu1, us1, au1 or null."
  }
}

variable "rotate_every" {
  description = "The age at which a runner's credentials are rotated, in hours. One that was never rotated is due at once."
  type        = string
  default     = "720h"
  nullable    = false

  validation {
    condition     = can(regex("^[1-9][0-9]{0,4}h$", var.rotate_every))
    error_message = "Expected 1h to 99999h."
  }
}

variable "rotate_window" {
  description = "When a rotation that is due by its age may begin: days, times and a time zone, like Sat,Sun 02:00-05:00 Europe/London. Null: always."
  type        = string
  default     = null

  validation {
    condition     = var.rotate_window == null || can(regex("^[A-Za-z0-9,:;/_+ -]*[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}[A-Za-z0-9,:;/_+ -]*$", var.rotate_window))
    error_message = "Expected days and a time like Sat,Sun 02:00-05:00 Europe/London."
  }
}

variable "rotate_first" {
  description = "Agent IDs that are rotated first: the others follow when these are back for rotate_soak."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(setsubtract(var.rotate_first, var.agent_ids)) == 0
    error_message = "Expected agents of agent_ids."
  }
}

variable "rotate_soak" {
  description = "How long the runners of rotate_first must be back before others are rotated, in hours."
  type        = string
  default     = "24h"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{1,4}h$", var.rotate_soak))
    error_message = "Expected 0h to 9999h."
  }
}

variable "drain" {
  description = "pause: pause the runner and wait for running pipelines. none: do not, and they fail."
  type        = string
  default     = "pause"
  nullable    = false

  validation {
    condition     = contains(["pause", "none"], var.drain)
    error_message = "Expected pause or none."
  }
}

variable "drain_timeout" {
  description = "How long running pipelines may take to finish. Then the runner is resumed, and nothing is refreshed."
  type        = string
  default     = "5m"
  nullable    = false

  validation {
    condition     = can(regex("^([1-9]|[1-4][0-9])m$", var.drain_timeout))
    error_message = "Expected 1m to 49m."
  }
}

variable "connect_timeout" {
  description = "How long restarted pods may take to connect to Maia."
  type        = string
  default     = "8m"
  nullable    = false

  validation {
    condition     = can(regex("^([1-9]|[1-4][0-9])m$", var.connect_timeout))
    error_message = "Expected 1m to 49m."
  }
}

variable "timeout_seconds" {
  description = "How long a call of the function may take. Beyond 1800 the Scheduler job no longer sees how a long call ends, and reports it as failed."
  type        = number
  default     = 1800
  nullable    = false

  validation {
    condition     = var.timeout_seconds <= 3600 && floor(var.timeout_seconds) == var.timeout_seconds
    error_message = "Expected a whole number of at most 3600."
  }
  validation {
    condition     = try(var.timeout_seconds >= 60 * (replace(var.drain_timeout, "m", "") + replace(var.connect_timeout, "m", "")) + 120, true)
    error_message = "A rotation may take drain_timeout and connect_timeout and a minute. Expected at least that, and one minute to spare."
  }
}

variable "call_every_minutes" {
  description = "How often the function is called, to heal what needs it and to rotate what is due. At most 30, which the alerts count on."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([5, 6, 10, 12, 15, 20, 30], var.call_every_minutes)
    error_message = "Expected 5, 6, 10, 12, 15, 20 or 30, which divide an hour."
  }
}

variable "vpc" {
  description = "To reach control planes, or Maia, through a VPC: a subnetwork of the function's region, and whether all its traffic goes there or that to private addresses only. With all traffic Maia needs a way out (Cloud NAT)."
  type = object({
    network     = string
    subnetwork  = string
    tags        = optional(set(string), [])
    all_traffic = optional(bool, true)
  })
  default = null

  validation {
    condition     = var.vpc == null ? true : var.vpc.network != "" && var.vpc.subnetwork != ""
    error_message = "Expected a network and a subnetwork."
  }
}

variable "build_service_account" {
  description = "The service account that builds the function, as projects/PROJECT/serviceAccounts/EMAIL. Null takes the project's default."
  type        = string
  default     = null

  validation {
    condition     = var.build_service_account == null ? true : can(regex("^projects/[^/]+/serviceAccounts/[^/@]+@[^/@]+$", var.build_service_account))
    error_message = "Expected projects/PROJECT/serviceAccounts/EMAIL, or null."
  }
}

variable "notification_channels" {
  description = "Where alerts go: projects/PROJECT/notificationChannels/ID. Empty if they are only to be seen in the console."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for c in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", c))])
    error_message = "Expected projects/PROJECT/notificationChannels/ID."
  }
}

variable "downtime_seconds" {
  description = "Alert when a runner is cut off by a refresh for more than this many seconds, at the end of a call. A call waits for the runner to be back, so one that is reported here has not come back in time."
  type        = number
  default     = 900
  nullable    = false

  validation {
    condition     = var.downtime_seconds >= 60 && var.downtime_seconds <= 86400
    error_message = "Expected 60 to 86400."
  }
}

variable "max_age_days" {
  description = "Alert when a runner was not rotated successfully for more than this many days, or was never rotated. More than rotate_every."
  type        = number
  default     = 35
  nullable    = false

  validation {
    condition     = var.max_age_days <= 1000 && try(var.max_age_days * 24 > replace(var.rotate_every, "h", ""), true)
    error_message = "Expected more than rotate_every, and at most 1000."
  }
}

variable "labels" {
  description = "Labels of everything that can have them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "Expected keys and values of lower-case letters, digits, _ and -."
  }
}
