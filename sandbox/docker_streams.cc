#include "sandbox/docker_wire.h"
#include "sandbox/engine.h"

#include <algorithm>
#include <array>

namespace agentmesh::sandbox {
namespace {

struct StateName {
  ContainerState state;
  std::string_view name;
};
constexpr std::array kStates{
    StateName{ContainerState::created, "created"},   StateName{ContainerState::running, "running"},
    StateName{ContainerState::paused, "paused"},     StateName{ContainerState::restarting, "restarting"},
    StateName{ContainerState::removing, "removing"}, StateName{ContainerState::exited, "exited"},
    StateName{ContainerState::dead, "dead"},         StateName{ContainerState::unknown, "unknown"}};

}  // namespace

std::string_view to_string(ContainerState state) {
  return std::ranges::find(kStates, state, &StateName::state)->name;
}

ContainerState container_state_from(std::string_view text) {
  const auto* found = std::ranges::find(kStates, text, &StateName::name);
  return found == kStates.end() ? ContainerState::unknown : found->state;
}

namespace wire {

namespace {
constexpr std::size_t kFrameHeader = 8;
}

void LineSplitter::push(std::string_view data) {
  while (!data.empty()) {
    const auto newline = data.find('\n');
    const auto piece = data.substr(0, newline);
    if (held_.size() + piece.size() > max_line_) {
      dropping_ = true;
      held_.clear();
    }
    if (!dropping_) held_.append(piece);
    if (newline == std::string_view::npos) return;
    end_line();
    data.remove_prefix(newline + 1);
  }
}

void LineSplitter::finish() {
  if (dropping_ || !held_.empty()) end_line();
}

void LineSplitter::end_line() {
  const std::string line = std::exchange(held_, {});
  if (std::exchange(dropping_, false)) {
    ++dropped_;
  } else if (line.find_first_not_of(" \r\t") != std::string::npos) {
    line_(line);
  }
}

Result<> Demultiplexer::push(std::string_view data) {
  while (!data.empty()) {
    if (left_ == 0) {
      const auto part = data.substr(0, kFrameHeader - header_.size());
      header_.append(part);
      data.remove_prefix(part.size());
      if (header_.size() < kFrameHeader) return {};
      const auto byte = [this](std::size_t i) {
        return static_cast<std::uint32_t>(static_cast<unsigned char>(header_[i]));
      };
      if (byte(0) > 2 || byte(1) != 0 || byte(2) != 0 || byte(3) != 0) {
        return fail(ErrorCode::internal, "engine", "the engine's stream is not framed as its API says");
      }
      stream_ = byte(0) == 2 ? Stream::err : Stream::out;
      left_ = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
      header_.clear();
      continue;
    }
    const auto piece = data.substr(0, left_);
    sink_(stream_, piece);
    left_ -= static_cast<std::uint32_t>(piece.size());
    data.remove_prefix(piece.size());
  }
  return {};
}

void Tail::push(std::string_view data) {
  held_.append(data.substr(data.size() - std::min(data.size(), limit_)));
  if (held_.size() > 2 * limit_) held_.erase(0, held_.size() - limit_);
}

std::string Tail::take() {
  if (held_.size() > limit_) held_.erase(0, held_.size() - limit_);
  return std::move(held_);
}

}  // namespace wire
}  // namespace agentmesh::sandbox
