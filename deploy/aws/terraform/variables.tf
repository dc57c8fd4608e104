variable "name" {
  description = "The function's name. The names of everything else begin with it."
  type        = string
  default     = "maia-rotate"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,48}$", var.name))
    error_message = "Expected 1 to 48 letters, digits, - or _."
  }
}

variable "package" {
  description = "The path of the function's zip file, made by: maia-rotate package aws -o FILE.zip"
  type        = string
  nullable    = false

  validation {
    condition     = endswith(var.package, ".zip")
    error_message = "Expected the path of a zip file."
  }
}

variable "secrets" {
  description = <<-EOT
    The runners' secrets, by a name of yours that should not change.
      arn       the whole ARN, with the six characters at its end
      agent_id  the agent that the secret belongs to; no other is served
      schedule  when to rotate, in UTC: a cron() with minute 0, one hour (or HOUR/STEP), one of the two days as ?, and
                year *; or a rate() of 4 hours or more
      window    how long the window is in which Secrets Manager starts the rotation, and tries again; it must end within
                the UTC day, and before the next window
    Secrets Manager rotates at any time inside the window. To stagger many runners, let their windows not overlap.
  EOT
  type = map(object({
    arn      = string
    agent_id = string
    schedule = optional(string, "cron(0 2 1 * ? *)")
    window   = optional(string, "3h")
  }))
  nullable = false

  validation {
    condition     = length(var.secrets) > 0
    error_message = "Expected at least one secret."
  }
  validation {
    condition     = alltrue([for s in var.secrets : can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$", s.arn))])
    error_message = "Expected arn to be the whole ARN of a secret, with the six characters at its end."
  }
  validation {
    condition     = length(distinct([for s in var.secrets : s.arn])) == length(var.secrets)
    error_message = "A secret can have one schedule only, and one is here twice."
  }
  validation {
    condition     = alltrue([for s in var.secrets : can(regex("^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", s.agent_id))])
    error_message = "Expected agent_id to be a UUID."
  }
  validation {
    condition     = alltrue([for s in var.secrets : can(regex("^(rate\\((([4-9]|[1-9][0-9]{1,2}) hours|1 day|([2-9]|[1-9][0-9]{1,2}) days)\\)|cron\\(0 ([01]?[0-9]|2[0-3])(/([4-9]|1[0-9]|2[0-3]))? ([0-9*,/L-]+ [0-9A-Z*,/-]+ \\?|\\? [0-9A-Z*,/-]+ [0-9A-Z*,/#L-]+) \\*\\))$", s.schedule))])
    error_message = "Expected schedule to be cron(0 HOUR DAY MONTH ? *), cron(0 HOUR ? MONTH WEEKDAY *), or a rate() of 4 hours or more."
  }
  validation {
    condition     = alltrue([for s in var.secrets : can(regex("^([1-9]|1[0-9]|2[0-4])h$", s.window))])
    error_message = "Expected window to be 1h to 24h."
  }
}

variable "credentials_secret_arn" {
  description = "The secret with the client_id and client_secret of a Maia API credential whose role is Admin, as JSON. The whole ARN."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$", var.credentials_secret_arn))
    error_message = "Expected the whole ARN of a secret, with the six characters at its end."
  }
}

variable "kms_key_arns" {
  description = "The customer managed keys of these secrets. Empty if they have the key aws/secretsmanager."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.kms_key_arns : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", arn))])
    error_message = "Expected ARNs of keys, not of aliases."
  }
}

variable "ecs_clusters" {
  description = "The names of the ECS clusters with the runners. All their services are read. Either this or ecs_services."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for name in var.ecs_clusters : can(regex("^[A-Za-z0-9_-]{1,255}$", name))])
    error_message = "Expected names of clusters."
  }
  validation {
    condition     = (length(var.ecs_clusters) == 0) != (length(var.ecs_services) == 0)
    error_message = "Exactly one of ecs_clusters and ecs_services says where the runners are."
  }
}

variable "ecs_services" {
  description = "Or the runners' services, as cluster/service."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for name in var.ecs_services : can(regex("^[A-Za-z0-9_-]{1,255}/[A-Za-z0-9_-]{1,255}$", name))])
    error_message = "Expected cluster/service."
  }
}

variable "maia_region" {
  description = "Maia's region: eu1, us1 or au1. Null takes the one in the runner's task definition."
  type        = string
  default     = null

  validation {
    condition     = var.maia_region == null ? true : contains(["eu1", "us1", "au1"], var.maia_region)
    error_message = "Expected eu1, us1, au1 or null."
  }
}

variable "rotate_immediately" {
  description = "Rotate when a schedule is made or changed. With false Secrets Manager only lets the function test its configuration."
  type        = bool
  default     = false
  nullable    = false
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
    condition     = can(regex("^([1-9]|1[0-5])m$", var.drain_timeout))
    error_message = "Expected 1m to 15m."
  }
}

variable "connect_timeout" {
  description = "How long restarted instances may take to connect to Maia."
  type        = string
  default     = "8m"
  nullable    = false

  validation {
    condition     = can(regex("^([1-9]|1[0-5])m$", var.connect_timeout))
    error_message = "Expected 1m to 15m."
  }
}

variable "heal_every_minutes" {
  description = "How often to find and repair what a failed rotation left. At most 30, which the alarms count on."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.heal_every_minutes >= 5 && var.heal_every_minutes <= 30 && floor(var.heal_every_minutes) == var.heal_every_minutes
    error_message = "Expected a whole number from 5 to 30."
  }
}

variable "alarm_topic_arn" {
  description = "The SNS topic for alarms. Null makes one, to which you subscribe. With cloudtrail_enabled the policy of a topic of yours must let events.amazonaws.com publish."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null ? true : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.alarm_topic_arn))
    error_message = "Expected the ARN of an SNS topic (not FIFO), or null."
  }
}

variable "downtime_seconds" {
  description = "Alarm when a runner is cut off by a refresh for more than this many seconds. A rotation cuts it off for as long as its restart takes."
  type        = number
  default     = 900
  nullable    = false

  validation {
    condition     = var.downtime_seconds >= 60 && var.downtime_seconds <= 86400
    error_message = "Expected 60 to 86400."
  }
}

variable "max_age_days" {
  description = "Alarm when a secret was not rotated successfully for more than this many days. More than the days between two rotations."
  type        = number
  default     = 35
  nullable    = false

  validation {
    condition     = var.max_age_days >= 1 && var.max_age_days <= 1000
    error_message = "Expected 1 to 1000."
  }
}

variable "cloudtrail_enabled" {
  description = "Whether the account has a CloudTrail trail for this region. Then every rotation that failed or was abandoned is reported, too."
  type        = bool
  default     = false
  nullable    = false
}

variable "log_retention_days" {
  description = "How many days the function's log is kept."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "CloudWatch Logs keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653 days."
  }
}

variable "vpc" {
  description = "To run the function in a VPC: its private subnets, which need a way to Secrets Manager, ECS and, through NAT, Maia; and security groups that let HTTPS out."
  type = object({
    subnet_ids         = set(string)
    security_group_ids = set(string)
  })
  default = null

  validation {
    condition     = var.vpc == null ? true : length(var.vpc.subnet_ids) > 0 && length(var.vpc.security_group_ids) > 0
    error_message = "Expected subnets and security groups."
  }
}
