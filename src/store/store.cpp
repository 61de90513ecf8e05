// The public face: checks the key, and hands on to StoreImpl.
#include <shoal/store.hpp>

#include "store/impl.hpp"
#include "store/leftovers.hpp"

namespace shoal {
namespace {

Error moved_from() {
    return {Code::kInvalidArgument,
            "this Store was moved from and has no store any more: use the one it was moved to"};
}

// Runs `use` with the implementation. Fails with kInvalidArgument after a move.
template <class Use>
auto with_store(const std::shared_ptr<StoreImpl>& impl, Use&& use) -> decltype(use(*impl)) {
    if (impl == nullptr) [[unlikely]]
        return tl::unexpected(moved_from());
    return use(*impl);
}

// Runs `use` with the implementation and the key's reference. Fails with kInvalidArgument after a move, or where
// the key is too long.
template <class Use>
auto with_key(const std::shared_ptr<StoreImpl>& impl, ByteView key, Use&& use)
    -> decltype(use(*impl, std::declval<const KeyRef&>())) {
    if (impl == nullptr) [[unlikely]]
        return tl::unexpected(moved_from());
    auto ref = impl->key_ref(key);
    if (!ref) [[unlikely]]
        return tl::unexpected(std::move(ref.error()));
    return use(*impl, *ref);
}

Result<std::shared_ptr<StoreImpl>> make_impl(Result<OpenedArena>&& opened, const Options& options) {
    if (!opened) return tl::unexpected(std::move(opened.error()));
    return std::make_shared<StoreImpl>(std::move(*opened), options);
}

}  // namespace

std::string_view name(Code code) noexcept {
    switch (code) {
        case Code::kInvalidArgument:
            return "invalid argument";
        case Code::kNotFound:
            return "not found";
        case Code::kBufferTooSmall:
            return "buffer too small";
        case Code::kMemoryLimit:
            return "memory limit";
        case Code::kNoSpace:
            return "no space";
        case Code::kPermission:
            return "permission";
        case Code::kIncompatible:
            return "incompatible";
        case Code::kDamaged:
            return "damaged";
        case Code::kArenaGone:
            return "arena gone";
        case Code::kInUse:
            return "in use";
        case Code::kCopied:
            return "copied";
        case Code::kDestroyed:
            return "destroyed";
        case Code::kTooManyThreads:
            return "too many threads";
        case Code::kSystem:
            return "system";
    }
    return "unknown";
}

Store::Store(std::shared_ptr<StoreImpl> impl) noexcept : impl_(std::move(impl)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::open(const std::string& path, const Options& options) {
    return make_impl(open_or_create(path, options, StoreImpl::fill_arena), options).map([](auto&& impl) {
        return Store(impl);
    });
}
Result<Store> Store::attach(const std::string& path, const Options& options) {
    return make_impl(attach_or_restore(path, options, StoreImpl::fill_arena), options).map([](auto&& impl) {
        return Store(impl);
    });
}
Result<Store> Store::in_memory(const Options& options) {
    return make_impl(create_in_memory(options, StoreImpl::fill_arena), options).map([](auto&& impl) {
        return Store(impl);
    });
}
Result<void> Store::destroy(const std::string& path, const Options& options) {
    return destroy_store(path, options);
}
Result<std::vector<Leftover>> Store::collect(const CollectOptions& options) { return collect_leftovers(options); }

Result<void> Store::append(ByteView key, ByteView record) {
    return append(key, std::span<const ByteView>(&record, 1));
}
Result<void> Store::append(Key& key, ByteView record) { return append(key, std::span<const ByteView>(&record, 1)); }
Result<void> Store::append(ByteView key, std::span<const ByteView> pieces) {
    return with_key(impl_, key,
                    [&](StoreImpl& impl, const KeyRef& ref) { return impl.append(ref, Payload::record(pieces)); });
}
Result<void> Store::append(Key& key, std::span<const ByteView> pieces) {
    return with_store(impl_,
                      [&](StoreImpl& impl) { return impl.append(impl.key_ref(key), Payload::record(pieces)); });
}
Result<void> Store::append(std::span<const Pair> batch) {
    return with_store(impl_, [&](StoreImpl& impl) { return impl.append(batch); });
}

Result<bool> Store::iset(ByteView key, ByteView value) {
    return with_key(impl_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.iset(ref, value); });
}
Result<Key> Store::key(ByteView key) const {
    return with_store(impl_, [&](StoreImpl& impl) { return impl.make_key(key); });
}

Result<Bytes> Store::get(ByteView key) const {
    return with_key(impl_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.get(ref); });
}
Result<Bytes> Store::get(Key& key) const {
    return with_store(impl_, [&](StoreImpl& impl) { return impl.get(impl.key_ref(key)); });
}
std::vector<Result<Bytes>> Store::get(std::span<const ByteView> keys) const {
    if (impl_ != nullptr) [[likely]]
        return impl_->get(keys);
    std::vector<Result<Bytes>> refused;
    for (std::size_t at = 0; at < keys.size(); ++at) refused.emplace_back(tl::unexpected(moved_from()));
    return refused;
}
Result<std::size_t> Store::get_into(ByteView key, std::span<std::byte> buffer) const {
    return with_key(impl_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.get_into(ref, buffer); });
}
Result<std::size_t> Store::get_into(Key& key, std::span<std::byte> buffer) const {
    return with_store(impl_, [&](StoreImpl& impl) { return impl.get_into(impl.key_ref(key), buffer); });
}
Result<View> Store::view(ByteView key) const {
    return with_key(impl_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.view(ref); });
}
Result<Records> Store::records(ByteView key) const {
    return with_key(impl_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.records(ref); });
}
Result<void> Store::records(ByteView key, std::size_t part_bytes,
                            const std::function<bool(const Records&)>& take) const {
    return with_key(impl_, key,
                    [&](StoreImpl& impl, const KeyRef& ref) { return impl.records(ref, part_bytes, take); });
}
Result<ValueSize> Store::size(ByteView key) const {
    return with_key(impl_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.size(ref); });
}
Result<bool> Store::contains(ByteView key) const {
    return with_key(impl_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.contains(ref); });
}
Result<void> Store::for_each_key(ByteView prefix, const std::function<bool(ByteView key)>& take) const {
    return with_store(impl_, [&](StoreImpl& impl) { return impl.for_each_key(prefix, take); });
}
Result<void> Store::for_each_key(const std::function<bool(ByteView key)>& take) const {
    return for_each_key("", take);
}
Result<bool> Store::next_keys(KeyCursor& cursor) const {
    return with_store(impl_, [&](StoreImpl& impl) { return impl.next_keys(cursor); });
}
Result<std::vector<Bytes>> Store::keys() const {
    return with_store(impl_, [&](StoreImpl& impl) { return impl.keys(); });
}
Result<bool> Store::erase(ByteView key) {
    return with_key(impl_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.erase(ref); });
}
Result<void> Store::drop() {
    return with_store(impl_, [&](StoreImpl& impl) { return impl.drop(); });
}
Result<Stats> Store::stats() const {
    return with_store(impl_, [&](StoreImpl& impl) { return impl.stats(); });
}
Result<std::uint64_t> Store::spill(std::uint64_t bytes) {
    return with_store(impl_, [&](StoreImpl& impl) { return impl.spill(bytes); });
}
Result<Synced> Store::sync() {
    return with_store(impl_, [&](StoreImpl& impl) { return impl.sync(); });
}
Result<void> Store::set_codec(ByteView key, const Codec& codec) {
    return with_key(impl_, key, [&](StoreImpl& impl, const KeyRef& ref) { return impl.set_codec(ref, codec); });
}
Result<std::vector<Attached>> Store::attached() const {
    return with_store(impl_, [&](StoreImpl& impl) { return impl.attached(); });
}

}  // namespace shoal
