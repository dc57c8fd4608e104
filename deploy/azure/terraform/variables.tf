variable "name" {
  description = "The names of everything begin with it. The function app's own has some more characters, for it must be unique in all of Azure."
  type        = string
  default     = "maia-rotate"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{2,18}[A-Za-z0-9]$", var.name))
    error_message = "Expected 4 to 20 letters, digits or -, of which the first is a letter and the last is not -."
  }
}

variable "resource_group_id" {
  description = "The resource group of the function and of all that belongs to it, as /subscriptions/SUBSCRIPTION/resourceGroups/GROUP."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^/subscriptions/[0-9A-Fa-f-]{36}/resourceGroups/[^/]+$", var.resource_group_id))
    error_message = "Expected /subscriptions/SUBSCRIPTION/resourceGroups/GROUP."
  }
}

variable "location" {
  description = "The region of everything. It must have the Flex Consumption plan: az functionapp list-flexconsumption-locations"
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]+$", var.location))
    error_message = "Expected a region like westeurope."
  }
}

variable "container_apps" {
  description = "The resource IDs of the runners' Container Apps, by names of yours that should not change: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.App/containerApps/NAME. Either this or resource_groups."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for id in var.container_apps : can(regex("^/subscriptions/[0-9A-Fa-f-]{36}/resourceGroups/[^/]+/providers/Microsoft.App/containerApps/[a-z0-9-]+$", id))])
    error_message = "Expected /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.App/containerApps/NAME."
  }
  validation {
    condition     = length(distinct([for id in var.container_apps : id])) == length(var.container_apps)
    error_message = "An app is here twice."
  }
  validation {
    condition     = (length(var.container_apps) == 0) != (length(var.resource_groups) == 0)
    error_message = "Exactly one of container_apps and resource_groups says where the runners are."
  }
}

variable "resource_groups" {
  description = "Or the resource IDs of resource groups in which every Container App with the tag maia-rotate=enabled is taken: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP. The role is then given on all apps of these groups."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.resource_groups : can(regex("^/subscriptions/[0-9A-Fa-f-]{36}/resourceGroups/[^/]+$", id))])
    error_message = "Expected /subscriptions/SUBSCRIPTION/resourceGroups/GROUP."
  }
}

variable "agent_ids" {
  description = "The agents that the function may serve. Any other in one of the apps is refused."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.agent_ids) > 0 && alltrue([for id in var.agent_ids : can(regex("^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", id))])
    error_message = "Expected UUIDs, at least one."
  }
}

variable "maia_client_id" {
  description = "The client ID of a Maia API credential whose role is Admin. It is no secret."
  type        = string
  nullable    = false

  validation {
    condition     = var.maia_client_id != ""
    error_message = "Expected a client ID."
  }
}

variable "key_vault_id" {
  description = "The resource ID of the Key Vault with that credential's client secret: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.KeyVault/vaults/NAME. Its permission model must be Azure RBAC."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^/subscriptions/[0-9A-Fa-f-]{36}/resourceGroups/[^/]+/providers/Microsoft.KeyVault/vaults/[A-Za-z0-9-]{3,24}$", var.key_vault_id))
    error_message = "Expected /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.KeyVault/vaults/NAME."
  }
}

variable "secret_name" {
  description = "The name of the secret in that vault. The app is allowed to read this one only."
  type        = string
  default     = "maia-client-secret"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9-]{1,127}$", var.secret_name))
    error_message = "Expected 1 to 127 letters, digits or -, without a version."
  }
}

variable "maia_region" {
  description = "Maia's region: eu1, us1 or au1. Null takes the one in the runner's app."
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
    condition     = can(regex("^([1-9]|1[0-9]|20)m$", var.drain_timeout))
    error_message = "Expected 1m to 20m."
  }
  validation {
    condition     = try(replace(var.drain_timeout, "m", "") + replace(var.connect_timeout, "m", "") <= 26, true)
    error_message = "An invocation has 30 minutes. Expected drain_timeout and connect_timeout to be at most 26 together."
  }
}

variable "connect_timeout" {
  description = "How long restarted replicas may take to connect to Maia."
  type        = string
  default     = "8m"
  nullable    = false

  validation {
    condition     = can(regex("^([1-9]|1[0-9]|20)m$", var.connect_timeout))
    error_message = "Expected 1m to 20m."
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

variable "instance_memory_mb" {
  description = "The memory of an instance of the Flex Consumption plan, which the function shares with the Functions host. The function itself needs less than 50 MB."
  type        = number
  default     = 2048
  nullable    = false

  validation {
    condition     = contains([512, 2048, 4096], var.instance_memory_mb)
    error_message = "Expected 512, 2048 or 4096."
  }
}

variable "maximum_instance_count" {
  description = "How many instances there may be. A timer needs one. If the region refuses less than 40, as some did, give 40."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.maximum_instance_count >= 1 && var.maximum_instance_count <= 1000 && floor(var.maximum_instance_count) == var.maximum_instance_count
    error_message = "Expected a whole number from 1 to 1000."
  }
}

variable "subnet_id" {
  description = "To reach Maia or the Key Vault through a virtual network: the resource ID of a subnet that is delegated to Microsoft.App/environments, in the function's region."
  type        = string
  default     = null

  validation {
    condition     = var.subnet_id == null ? true : can(regex("^/subscriptions/[0-9A-Fa-f-]{36}/resourceGroups/[^/]+/providers/Microsoft.Network/virtualNetworks/[^/]+/subnets/[^/]+$", var.subnet_id))
    error_message = "Expected the resource ID of a subnet, or null."
  }
}

variable "action_group_ids" {
  description = "Where alerts go: the resource IDs of action groups. Empty, and alert_emails too, if they are only to be seen in the portal."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.action_group_ids : can(regex("^(?i)/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/]+/providers/microsoft.insights/actionGroups/[^/]+$", id))])
    error_message = "Expected /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Insights/actionGroups/NAME."
  }
}

variable "alert_emails" {
  description = "Addresses that alerts are sent to as well. An action group is made for them."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "Expected addresses."
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

variable "silence_hours" {
  description = "Alert when no runner was observed for this many hours: the timer has stopped, or every call fails early, or nothing is logged."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = contains([2, 3, 4, 5, 6], var.silence_hours)
    error_message = "Expected 2, 3, 4, 5 or 6."
  }
}

variable "log_retention_days" {
  description = "How many days the function's log is kept."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.log_retention_days >= 30 && var.log_retention_days <= 730
    error_message = "Expected 30 to 730."
  }
}

variable "role_name" {
  description = "The name of the custom role. It must be unique in the tenant: a second deployment needs another."
  type        = string
  default     = "maia-rotate runner"
  nullable    = false

  validation {
    condition     = can(regex("^.{1,128}$", var.role_name))
    error_message = "Expected 1 to 128 characters."
  }
}

variable "tags" {
  description = "Tags of everything that can have them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key, value in var.tags : can(regex("^[^<>%&\\\\?/]{1,512}$", key)) && can(regex("^.{0,256}$", value))])
    error_message = "Expected keys without < > % & \\ ? / and of at most 512 characters, and values of at most 256."
  }
}
