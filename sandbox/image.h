#pragma once
// Images by name: what to run, and how to make it. Uses only the Engine seam.

#include "base/task.h"
#include "net/http_client.h"
#include "sandbox/engine.h"

#include <functional>
#include <span>
#include <string>

namespace agentmesh::sandbox {

constexpr std::string_view kDefaultImage = "agentmesh/sandbox:latest";
constexpr std::string_view kBaseImage = "debian:bookworm-slim";
constexpr std::uint64_t kMaxContextBytes = 256ULL * 1024 * 1024;  // all files of a build context
constexpr std::size_t kMaxContextFiles = 10'000;

// The immutable id. not_found: its hint is the command that makes or gets it.
Task<std::string> resolve_image(Engine& engine, std::string name);

// A folder as a ustar archive, entries in the order of their names, owners and times fixed so that the same
// folder gives the same bytes. Follows no link: a link is archived as a link. Errors: not_found, invalid (a
// file that is neither file, folder nor link; a name over 255 bytes), exhausted (limits above).
Result<net::HttpUpload> tar_upload(const std::string& folder);

}  // namespace agentmesh::sandbox
