(method_declaration) @def.method
(constructor_declaration) @def.method
(destructor_declaration) @def.method
(operator_declaration) @def.method
(conversion_operator_declaration) @def.method
(accessor_declaration body: (_)) @def.method
(property_declaration value: (arrow_expression_clause)) @def.method
(indexer_declaration value: (arrow_expression_clause)) @def.method
(local_function_statement) @def.function
(variable_declarator name: (identifier) [(lambda_expression) (anonymous_method_expression)]) @def.function
(class_declaration) @def.class
(record_declaration) @def.class
(struct_declaration) @def.struct
(interface_declaration) @def.interface
(enum_declaration) @def.enum
(delegate_declaration) @def.type
(namespace_declaration) @def.module
(invocation_expression function: (identifier) @call)
(invocation_expression function: (member_access_expression name: (identifier) @call))
(invocation_expression function: (conditional_access_expression
  (member_binding_expression name: [(identifier) @call (generic_name (identifier) @call)])))
(object_creation_expression type: (identifier) @call)
(invocation_expression function: (generic_name (identifier) @call))
(invocation_expression function: (member_access_expression name: (generic_name (identifier) @call)))
(object_creation_expression type: (generic_name (identifier) @call))
(using_directive) @import.using
(namespace_declaration name: (_) @namespace)
(file_scoped_namespace_declaration name: (_) @namespace)
(comment) @comment
[(binary_expression) (and_pattern) (or_pattern)] @binary
(preproc_if condition: (_) @directive)
(preproc_elif condition: (_) @directive)
