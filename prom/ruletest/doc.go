// Package ruletest tests the alerting rules of modules prom and cluster/nodeprom, and the
// dashboard of prom, in the engine of Prometheus itself. It has nothing but tests, and is a
// module of its own, for what that engine depends on is of no use to anybody else.
package ruletest
