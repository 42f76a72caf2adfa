#pragma once
// Small files: read whole with a limit, replaced atomically and durably; private folders.

#include "base/result.h"
#include "base/unique_fd.h"

#include <filesystem>
#include <string>
#include <string_view>

namespace agentmesh {

// Errors: not_found, denied, exhausted (larger than `limit` bytes), invalid (a folder), internal.
Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit);

// Writes beside, fsyncs, renames, fsyncs the folder: after a crash the old or the new text is there, whole.
Result<void> write_file(const std::filesystem::path& path, std::string_view text, unsigned mode);

// All of it, however many calls it takes. `path` is for the error.
Result<void> write_all(int fd, std::string_view text, const std::filesystem::path& path);

// Appends with one write call and creates the file with `mode` when it is absent.
Result<void> append_file(const std::filesystem::path& path, std::string_view text, unsigned mode);

// Makes the folder and its parents; the folder itself gets exactly `mode`.
Result<void> make_dir(const std::filesystem::path& path, unsigned mode);

// An exclusive lock on a file that lasts as long as the descriptor. Errors: conflict (another process holds
// it).
Result<UniqueFd> lock_file(const std::filesystem::path& path);

// The error for a failed system call, by its errno.
Error os_error(std::string stage, std::string what, int error_number);

}  // namespace agentmesh
