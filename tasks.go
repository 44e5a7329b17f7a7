package swarm

// TaskClient reads tasks, of which services consist.
type TaskClient struct{ client *Client }
