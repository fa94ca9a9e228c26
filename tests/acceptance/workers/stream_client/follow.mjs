// What both stream clients do; see ../README.md.

/** Follows the group `room` of the stream `chat`, and its item `a`; says whatever changes. */
export const follow = (Stream, address, say) => {
  const stream = new Stream(address)
  const group = stream.subscribeGroup('chat', 'room')
  group.addChangeListener((items) => say({ group: items }))
  group.onEvent('ping', (data) => say({ ping: data }))
  const item = stream.subscribeItem('chat', 'room', 'a')
  item.addChangeListener((state) => say({ item: state }))
  return { group, item, stream }
}
