// Package openapitest holds what goes over the wire against Intercom's
// published OpenAPI description. Only tests use it.
//
// The description is not part of this module. It is looked for in the folder
// that the environment variable OPENAPI_DIR names, and in shared/openapi of the
// folders above the test. A test that finds none is skipped, or fails where
// DISPATCH_REQUIRE_OPENAPI is 1.
//
// The description contradicts itself in places. [Deviations] lists them: what a
// deviation touches is rewritten to what the schema wants before it is checked,
// so that everything around it still counts.
package openapitest
