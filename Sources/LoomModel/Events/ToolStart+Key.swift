public import LoomFormat

extension ToolStart {
    /// What the tool hands to the other side: the same whenever this call is made again. Of the
    /// parts that tell a call from others, by name, never joined into one string that is parsed.
    public func idempotencyKey(in run: RunID) -> String {
        var writer = ByteWriter()
        switch key {
        case .explicit(let key):
            writer.writeString(run.rawValue)
            writer.writeUInt8(1)
            writer.writeString(key)
        case .occurrence(let number):
            writer.writeString(run.rawValue)
            writer.writeUInt8(2)
            writer.writeVarint(attempt.step)
            writer.writeString(name)
            writer.writeSized(request)
            writer.writeVarint(number)
        case .shared(let key):
            writer.writeString("")
            writer.writeUInt8(3)
            writer.writeString(key)
        }
        return ContentHash(of: writer.bytes.rawSpan).description
    }
}
