// Package wire is what the emulators have in common: clients speak to them without a network ([Transport]), as tests in
// which time is simulated need it, their calls are recorded, and faults happen to them ([Traffic]).
package wire
