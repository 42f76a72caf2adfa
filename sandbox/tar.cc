// The writer of build contexts: ustar, made entry by entry as the engine reads it.

#include "base/unique_fd.h"
#include "sandbox/image.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

namespace agentmesh::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlock = 512;
constexpr std::size_t kNameField = 100;
constexpr std::size_t kPrefixField = 155;
constexpr std::size_t kEndBlocks = 2;

struct Entry {
  fs::path path;
  std::string name;  // relative, with / at the end for a folder
  std::string link;  // of a symbolic link
  mode_t mode = 0;
  std::uint64_t bytes = 0;
  char kind = '0';  // file 0, link 2, folder 5
};

std::unexpected<Error> refuse(ErrorCode code, std::string what) {
  return fail(code, "image", std::move(what));
}

Result<Entry> entry_of(const fs::path& path, const fs::path& root) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0)
    return refuse(ErrorCode::not_found, "cannot read " + path.string());
  Entry entry{path, path.lexically_relative(root).string(), "", status.st_mode & 0777U, 0, '0'};
  if (S_ISDIR(status.st_mode)) {
    entry.kind = '5';
    entry.name += '/';
  } else if (S_ISLNK(status.st_mode)) {
    entry.kind = '2';
    std::error_code ec;
    entry.link = fs::read_symlink(path, ec).string();
    if (entry.link.size() > kNameField)
      return refuse(ErrorCode::invalid, "the link " + path.string() + " is too long");
  } else if (S_ISREG(status.st_mode)) {
    entry.bytes = static_cast<std::uint64_t>(status.st_size);
  } else {
    return refuse(ErrorCode::invalid, path.string() + " is neither a file, a folder nor a link");
  }
  return entry;
}

// Where the name splits into ustar's prefix and name; npos when it does not fit.
std::size_t split_at(const std::string& name) {
  if (name.size() <= kNameField) return 0;
  for (auto slash = name.find('/'); slash != std::string::npos && slash <= kPrefixField;
       slash = name.find('/', slash + 1)) {
    const auto rest = name.size() - slash - 1;
    if (rest > 0 && rest <= kNameField) return slash;
  }
  return std::string::npos;
}

Result<std::vector<Entry>> entries_of(const fs::path& root) {
  std::error_code ec;
  if (!fs::is_directory(root, ec)) return refuse(ErrorCode::not_found, "no folder " + root.string());
  std::vector<Entry> entries;
  std::uint64_t bytes = 0;
  for (fs::recursive_directory_iterator at(root, ec), end; !ec && at != end; at.increment(ec)) {
    auto entry = entry_of(at->path(), root);
    if (!entry) return pass(entry.error());
    if (split_at(entry->name) == std::string::npos)
      return refuse(ErrorCode::invalid, "the name is too long: " + entry->name);
    bytes += entry->bytes;
    entries.push_back(std::move(*entry));
    if (entries.size() > kMaxContextFiles)
      return refuse(ErrorCode::exhausted, root.string() + " has too many files");
    if (bytes > kMaxContextBytes) return refuse(ErrorCode::exhausted, root.string() + " is too large");
  }
  if (ec) return refuse(ErrorCode::invalid, "cannot read " + root.string() + ": " + ec.message());
  std::ranges::sort(entries, {}, &Entry::name);
  return entries;
}

void put(std::string& block, std::size_t at, std::string_view text) { block.replace(at, text.size(), text); }

std::string header_of(const Entry& entry) {
  std::string block(kBlock, '\0');
  const auto split = split_at(entry.name);
  put(block, 0, split == 0 ? entry.name : entry.name.substr(split + 1));
  if (split > 0) put(block, 345, entry.name.substr(0, split));
  put(block, 100, fmt::format("{:07o}", entry.mode));
  put(block, 108, "0000000");
  put(block, 116, "0000000");
  put(block, 124, fmt::format("{:011o}", entry.bytes));
  put(block, 136, "00000000000");
  put(block, 148, "        ");
  block[156] = entry.kind;
  put(block, 157, entry.link);
  put(block, 257, std::string_view("ustar\00000", 8));
  unsigned sum = 0;
  for (const unsigned char c : block) sum += c;
  put(block, 148, fmt::format("{:06o}", sum));
  block[154] = '\0';
  return block;
}

std::uint64_t padded(std::uint64_t bytes) { return (bytes + kBlock - 1) / kBlock * kBlock; }

class TarReader {
 public:
  explicit TarReader(std::vector<Entry> entries) : entries_(std::move(entries)) {}

  Result<std::size_t> read(std::span<char> buffer) {
    std::size_t filled = 0;
    while (filled < buffer.size()) {
      auto part = file_left_ > 0 ? read_file(buffer.subspan(filled)) : read_text(buffer.subspan(filled));
      if (!part) return part;
      if (*part == 0 && !advance()) break;
      filled += *part;
    }
    return filled;
  }

 private:
  std::size_t read_text_size() const { return text_.size() - text_at_; }

  Result<std::size_t> read_text(std::span<char> buffer) {
    const auto size = std::min(buffer.size(), read_text_size());
    std::memcpy(buffer.data(), text_.data() + text_at_, size);
    text_at_ += size;
    return size;
  }

  // A file that became shorter meanwhile is an error, one that grew is cut: the header is sent already.
  Result<std::size_t> read_file(std::span<char> buffer) {
    if (read_text_size() > 0) return read_text(buffer);
    const auto& entry = entries_[next_ - 1];
    const auto size = std::min<std::uint64_t>(buffer.size(), file_left_);
    const auto got = ::read(file_.get(), buffer.data(), size);
    if (got <= 0) return refuse(ErrorCode::conflict, entry.path.string() + " changed while it was read");
    file_left_ -= static_cast<std::uint64_t>(got);
    if (file_left_ == 0) set_text(std::string(padded(entry.bytes) - entry.bytes, '\0'));
    return static_cast<std::size_t>(got);
  }

  void set_text(std::string text) {
    text_ = std::move(text);
    text_at_ = 0;
  }

  // The next entry's header, or the end mark; false when all is read.
  bool advance() {
    if (next_ > entries_.size()) return false;
    if (next_ == entries_.size()) {
      ++next_;
      return set_text(std::string(kEndBlocks * kBlock, '\0')), true;
    }
    const auto& entry = entries_[next_++];
    set_text(header_of(entry));
    file_left_ = entry.bytes;
    file_ = UniqueFd(entry.bytes > 0 ? ::open(entry.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1);
    return true;
  }

  std::vector<Entry> entries_;
  std::size_t next_ = 0;
  UniqueFd file_;
  std::uint64_t file_left_ = 0;
  std::string text_;
  std::size_t text_at_ = 0;
};

}  // namespace

Result<net::HttpUpload> tar_upload(const std::string& folder) {
  auto entries = entries_of(folder);
  if (!entries) return pass(entries.error());
  std::uint64_t bytes = kEndBlocks * kBlock;
  for (const auto& entry : *entries) bytes += kBlock + padded(entry.bytes);
  auto reader = std::make_shared<TarReader>(std::move(*entries));
  return net::HttpUpload{[reader](std::span<char> buffer) { return reader->read(buffer); }, bytes};
}

}  // namespace agentmesh::sandbox
