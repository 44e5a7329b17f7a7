package swarm

// ServiceClient creates, reads, changes and removes services.
type ServiceClient struct{ client *Client }
