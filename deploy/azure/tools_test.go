package azure_test

import (
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/terraformtest"
)

func TestTerraformFormat(t *testing.T) {
	t.Parallel()
	terraformtest.Format(t, "terraform")
}

func TestTerraformValidate(t *testing.T) {
	t.Parallel()
	terraformtest.Validate(t, "terraform")
}
