terraform {
  required_version = ">= 1.9" # validations that read other variables

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.21" # Direct VPC egress of a function
    }
  }
}
