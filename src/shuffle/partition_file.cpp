#include "shuffle/partition_file.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "shuffle/xxh3.hpp"

namespace shoal::shuffling {

struct PartitionFile::Checksum {
    XXH3_state_t state;
};

namespace {

constexpr std::size_t kMaxNameBytes = 200;  // file systems allow 255
constexpr std::size_t kGatherBytes = 256 << 10;
constexpr std::size_t kLargePiece = 16 << 10;
constexpr std::size_t kDiskBytes = 1 << 20;  // gathered for the disk itself
constexpr std::size_t kBlockBytes = 4096;    // in memory and in the file, writes to it begin at multiples of that

// What pause() gives, before the bytes that no block of the disk has yet. The state points to constants, which lie
// at the same address in every process that was forked from one.
struct Paused {
    std::uint64_t bytes;  // in the file
    XXH3_state_t checksum;
};
static_assert(std::is_trivially_copyable_v<Paused>);

[[nodiscard]] bool is_plain(char byte) noexcept {
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ||
           byte == '.' || byte == '_' || byte == '-';
}

[[nodiscard]] Digest canonical(XXH128_hash_t hash) noexcept {
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, hash);
    Digest digest;
    std::memcpy(digest.data(), bytes.digest, digest.size());
    return digest;
}

}  // namespace

std::string value_file_name(std::string_view value, std::string_view extension) {
    constexpr std::string_view kPrefix = "value-";
    constexpr std::size_t kHashBytes = 1 + 32;
    const std::size_t room = kMaxNameBytes - kPrefix.size() - extension.size();
    std::string encoded;
    std::size_t whole_codes = 0;  // length of the longest prefix that leaves room for a hash and splits no code
    for (std::size_t i = 0; i < value.size() && encoded.size() <= room; ++i) {
        if (is_plain(value[i]) && !(i == 0 && value[i] == '.')) {
            encoded += value[i];
        } else {
            encoded += fmt::format("%{:02X}", static_cast<unsigned char>(value[i]));
        }
        if (encoded.size() + kHashBytes <= room) whole_codes = encoded.size();
    }
    if (encoded.size() > room) {
        encoded.resize(whole_codes);
        encoded += "~" + hex(canonical(XXH3_128bits(value.data(), value.size())));
    }
    return fmt::format("{}{}{}", kPrefix, encoded, extension);
}

std::string hex(const Digest& digest) {
    std::string digits;
    for (const unsigned char byte : digest) digits += fmt::format("{:02x}", byte);
    return digits;
}

PartitionFile::PartitionFile(Through through, std::string name)
    : name_(std::move(name)),
      checksum_(new Checksum),
      through_(through),
      gathered_(static_cast<char*>(
                    std::aligned_alloc(kBlockBytes, through == Through::kDisk ? kDiskBytes : kGatherBytes)),
                &std::free) {
    XXH3_128bits_reset(&checksum_->state);
}
PartitionFile::PartitionFile(PartitionFile&&) noexcept = default;
PartitionFile& PartitionFile::operator=(PartitionFile&&) noexcept = default;
PartitionFile::~PartitionFile() = default;

Outcome<void> PartitionFile::open(int folder_fd, int flags) {
    if (gathered_ == nullptr) return system_failure("no memory for the output file " + name_, ENOMEM);
    fd_ = FileDescriptor(openat(folder_fd, name_.c_str(), O_WRONLY | O_CLOEXEC | flags, 0666));
    if (!fd_.valid()) return system_failure("cannot open the output file " + name_, errno);
    return {};
}

Outcome<PartitionFile> PartitionFile::create(int folder_fd, const std::string& name, Through through) {
    PartitionFile file(through, name);
    if (const auto opened = file.open(folder_fd, O_CREAT | O_EXCL); !opened) {
        return passed_on(opened.error());
    }
    return file;
}

Outcome<PartitionFile> PartitionFile::resume(int folder_fd, const std::string& name, Through through,
                                             std::string_view paused) {
    PartitionFile file(through, name);
    if (const auto opened = file.open(folder_fd, 0); !opened) return passed_on(opened.error());
    Paused saved{};
    std::memcpy(&saved, paused.data(), sizeof saved);
    file.checksum_->state = saved.checksum;
    file.bytes_ = saved.bytes;
    file.gathered_bytes_ = paused.size() - sizeof saved;
    std::memcpy(file.gathered_.get(), paused.data() + sizeof saved, file.gathered_bytes_);
    if (lseek(file.fd_.get(), static_cast<off_t>(saved.bytes), SEEK_SET) < 0) {
        return system_failure("cannot write the output file " + name, errno);
    }
    return file;
}

Outcome<void> PartitionFile::write(std::string_view piece) {
    if (through_ == Through::kDisk) return gather(piece);
    if (piece.size() > kGatherBytes - gathered_bytes_ || piece.size() >= kLargePiece) {
        if (const auto flushed = write_out(gathered_.get(), gathered_bytes_); !flushed) return flushed;
        gathered_bytes_ = 0;
    }
    if (piece.size() >= kLargePiece) return write_out(piece.data(), piece.size());
    std::memcpy(gathered_.get() + gathered_bytes_, piece.data(), piece.size());
    gathered_bytes_ += piece.size();
    return {};
}

Outcome<void> PartitionFile::gather(std::string_view piece) {
    while (!piece.empty()) {
        const std::size_t bytes = std::min(piece.size(), kDiskBytes - gathered_bytes_);
        std::memcpy(gathered_.get() + gathered_bytes_, piece.data(), bytes);
        gathered_bytes_ += bytes;
        piece.remove_prefix(bytes);
        if (gathered_bytes_ < kDiskBytes) continue;
        set_direct(true);  // from the first full one on, so that a small file costs no wait for the disk
        if (const auto flushed = write_out(gathered_.get(), gathered_bytes_); !flushed) return flushed;
        set_direct(false);  // for the file's end, which is no whole block
        gathered_bytes_ = 0;
    }
    return {};
}

// Where the file system refuses, it goes through the page cache.
void PartitionFile::set_direct(bool direct) noexcept {
    if (direct == direct_ || ::fcntl(fd_.get(), F_SETFL, direct ? O_DIRECT : 0) != 0) return;
    direct_ = direct;
}

Outcome<std::string> PartitionFile::pause() {
    const std::size_t left = through_ == Through::kDisk ? gathered_bytes_ % kBlockBytes : 0;
    const std::size_t whole = gathered_bytes_ - left;
    if (whole != 0 && through_ == Through::kDisk) set_direct(true);
    if (const auto flushed = write_out(gathered_.get(), whole); !flushed) {
        return passed_on(flushed.error());
    }
    if (const auto closed = close_file(); !closed) return passed_on(closed.error());
    Paused saved{};
    saved.bytes = bytes_;
    saved.checksum = checksum_->state;
    std::string text(sizeof saved, '\0');
    std::memcpy(text.data(), &saved, sizeof saved);
    return text.append(gathered_.get() + whole, left);
}

Outcome<void> PartitionFile::finish() {
    if (const auto flushed = write_out(gathered_.get(), gathered_bytes_); !flushed) return flushed;
    gathered_bytes_ = 0;
    return close_file();
}

// A network file system may tell of a full disk only now.
Outcome<void> PartitionFile::close_file() {
    if (close(fd_.release()) != 0) return system_failure("cannot write the output file " + name_, errno);
    return {};
}

Digest PartitionFile::digest() const { return canonical(XXH3_128bits_digest(&checksum_->state)); }

Outcome<void> PartitionFile::write_out(const char* data, std::size_t bytes) {
    XXH3_128bits_update(&checksum_->state, data, bytes);
    bytes_ += bytes;
    while (bytes > 0) {
        const ssize_t written = ::write(fd_.get(), data, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno == EINVAL && direct_) {  // its blocks are larger than ours
            set_direct(false);
            continue;
        }
        if (written < 0) return system_failure("cannot write the output file " + name_, errno);
        data += written;
        bytes -= static_cast<std::size_t>(written);
        if (bytes > 0) set_direct(false);  // the rest may begin within a block
    }
    return {};
}

}  // namespace shoal::shuffling
