// Package nodesdk holds the fake Intercom against Intercom's official SDK for
// Node, which nobody here wrote. It has a test only.
//
// The test needs node and the SDK: run npm ci in this folder. Without them it
// is skipped, or fails where DISPATCH_REQUIRE_NODE is 1.
package nodesdk
