#include "agents/status_folder.h"

#include "base/unique_fd.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <map>
#include <optional>
#include <string_view>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

namespace agentmesh::agents {

namespace {

constexpr std::uint32_t kChanges =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

// From this wait on the changes are not even heard of while it lasts: each would wake us.
constexpr Millis kUnwatched = 8 * kStatusSettles;

// The folder, without following a link below `root`.
UniqueFd open_below(const std::filesystem::path& root, const std::filesystem::path& relative) {
  UniqueFd folder(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (const auto& part : relative) {
    if (!folder.valid()) break;
    folder = UniqueFd(::openat(folder.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  return folder;
}

std::optional<std::string> small_file(int folder, const char* name) {
  const UniqueFd fd(::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat status{};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  if (status.st_size > static_cast<off_t>(kMaxStatusBytes)) return std::nullopt;
  std::string text(kMaxStatusBytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t bytes = ::read(fd.get(), text.data() + size, text.size() - size);
    if (bytes <= 0) break;
    size += static_cast<std::size_t>(bytes);
  }
  if (size > kMaxStatusBytes) return std::nullopt;
  text.resize(size);
  return text;
}

std::vector<std::string> texts_in(UniqueFd folder) {
  std::vector<std::string> texts;
  const int fd = ::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* listing = fd < 0 ? nullptr : ::fdopendir(fd);
  if (listing == nullptr) {
    if (fd >= 0) ::close(fd);
    return texts;
  }
  std::size_t seen = 0;
  while (const dirent* entry = ::readdir(listing)) {
    if (++seen > kMaxStatusEntries || texts.size() == kMaxStatusFiles) break;
    if (!std::string_view(entry->d_name).ends_with(".json")) continue;
    if (auto text = small_file(folder.get(), entry->d_name)) texts.push_back(std::move(*text));
  }
  ::closedir(listing);
  return texts;
}

// The process's one inotify instance.
class Inotify : public std::enable_shared_from_this<Inotify> {
 public:
  using Changed = std::function<void(bool gone)>;

  static std::shared_ptr<Inotify> shared(const boost::asio::any_io_executor& executor) {
    static std::weak_ptr<Inotify> one;
    auto inotify = one.lock();
    if (!inotify) {
      inotify = std::make_shared<Inotify>(executor);
      one = inotify;
      inotify->wait();
    }
    return inotify;
  }

  explicit Inotify(const boost::asio::any_io_executor& executor) : queue_(executor) {
    const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd >= 0) queue_.assign(fd);  // without one every watch fails, and other sources tell the state
  }

  // The watch's number, or nothing when the kernel gives no more.
  std::optional<int> add(int folder, const void* owner, Changed changed) {
    if (!queue_.is_open()) return std::nullopt;
    const int watch = ::inotify_add_watch(queue_.native_handle(),
                                          fmt::format("/proc/self/fd/{}", folder).c_str(), kChanges);
    if (watch < 0) return std::nullopt;
    listeners_[watch][owner] = std::move(changed);
    return watch;
  }

  void remove(int watch, const void* owner) {
    const auto found = listeners_.find(watch);
    if (found == listeners_.end()) return;
    found->second.erase(owner);
    if (!found->second.empty()) return;
    listeners_.erase(found);
    ::inotify_rm_watch(queue_.native_handle(), watch);
  }

 private:
  void wait() {
    if (!queue_.is_open()) return;
    queue_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [weak = weak_from_this()](boost::system::error_code ec) {
                        const auto self = weak.lock();
                        if (ec || !self) return;
                        self->read();
                        self->wait();
                      });
  }

  void read() {
    alignas(inotify_event) std::array<char, 16 * 1024> buffer;
    const ssize_t bytes = ::read(queue_.native_handle(), buffer.data(), buffer.size());
    std::size_t at = 0;
    while (bytes > 0 && at + sizeof(inotify_event) <= static_cast<std::size_t>(bytes)) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      at += sizeof event + event.len;
      tell(event);
    }
  }

  void tell(const inotify_event& event) {
    if ((event.mask & IN_Q_OVERFLOW) != 0) return tell_all();
    const auto found = listeners_.find(event.wd);
    if (found == listeners_.end()) return;
    const bool gone = (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) != 0;
    const auto listeners = found->second;  // a listener may remove itself
    for (const auto& [owner, changed] : listeners) changed(gone);
  }

  void tell_all() {
    const auto all = listeners_;
    for (const auto& [watch, listeners] : all) {
      for (const auto& [owner, changed] : listeners) changed(false);
    }
  }

  boost::asio::posix::stream_descriptor queue_;
  std::map<int, std::map<const void*, Changed>> listeners_;
};

}  // namespace

class StatusFolder::Watch : public std::enable_shared_from_this<Watch> {
 public:
  Watch(boost::asio::any_io_executor executor, std::filesystem::path root, std::filesystem::path relative,
        StatusSink sink)
      : inotify_(Inotify::shared(executor)),
        settles_(executor),
        root_(std::move(root)),
        relative_(std::move(relative)),
        sink_(std::move(sink)) {}

  ~Watch() { forget(); }

  void close() {
    sink_ = nullptr;
    settles_.cancel();
    forget();
  }

  void look() {
    if (watch_) return;
    const UniqueFd folder = open_below(root_, relative_);
    if (!folder.valid()) return;
    watch(folder);
    if (watch_) changed();
  }

 private:
  void watch(const UniqueFd& folder) {
    watch_ = inotify_->add(folder.get(), this, [this](bool gone) {
      if (gone) forget();
      changed();
    });
  }

  void forget() {
    if (const auto watch = std::exchange(watch_, std::nullopt)) inotify_->remove(*watch, this);
  }

  void changed() {
    if (std::exchange(armed_, true)) return;
    const bool goes_on = std::chrono::steady_clock::now() - read_at_ < 2 * wait_;
    wait_ = goes_on ? std::min(2 * wait_, kStatusSettlesMost) : kStatusSettles;
    if (wait_ >= kUnwatched) forget();
    settles_.expires_after(wait_);
    settles_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
      const auto self = weak.lock();
      if (ec || !self || !self->sink_) return;
      self->armed_ = false;
      self->read();
    });
  }

  // What changes from here on is told: the watch is there before the reading.
  void read() {
    auto folder = open_below(root_, relative_);
    if (!watch_ && folder.valid()) watch(folder);
    read_at_ = std::chrono::steady_clock::now();
    sink_(texts_in(std::move(folder)));
  }

  std::shared_ptr<Inotify> inotify_;
  boost::asio::steady_timer settles_;
  std::filesystem::path root_;
  std::filesystem::path relative_;
  StatusSink sink_;
  std::optional<int> watch_;
  bool armed_ = false;
  Millis wait_ = kStatusSettles;
  std::chrono::steady_clock::time_point read_at_{};
};

StatusFolder::StatusFolder(boost::asio::any_io_executor executor, std::filesystem::path root,
                           std::filesystem::path relative, StatusSink sink)
    : watch_(std::make_shared<Watch>(std::move(executor), std::move(root), std::move(relative),
                                     std::move(sink))) {}

StatusFolder::~StatusFolder() { watch_->close(); }

void StatusFolder::look() { watch_->look(); }

}  // namespace agentmesh::agents
