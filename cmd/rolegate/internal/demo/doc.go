// Package demo runs the whole path offline: rolegate, a strict double of AWS,
// and two identity providers with three people. [Demo.Check] drives it without
// a browser and says of each step, and of each attempt that must be refused,
// whether it went as it must.
package demo
